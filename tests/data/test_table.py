"""Parquet files and Hugging Face data sets; without their libraries, what is said about it."""

import errno
import io
import json
import os

import numpy as np
import pytest

from minicnn.data.pack import open_pack
from minicnn.data.packing import pack
from minicnn.data.records.table import HuggingFaceRecords
from minicnn.data.sources import load
from minicnn.errors import FormatError, OptionError

Image = pytest.importorskip("PIL.Image")


def png(level):
    buffer = io.BytesIO()
    Image.new("L", (4, 3), level).save(buffer, "png")
    return buffer.getvalue()


def test_a_missing_library_is_named_with_the_command(tmp_path, monkeypatch):
    import importlib

    real = importlib.import_module

    def missing(name, *words):
        if name.partition(".")[0] in ("pyarrow", "datasets"):
            raise ImportError(name)
        return real(name, *words)

    monkeypatch.setattr(importlib, "import_module", missing)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(OptionError, match=r'pyarrow is not installed; pip install "minicnn\[arrow\]"'):
        load(tmp_path / "a.parquet")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "state.json").touch()
    with pytest.raises(OptionError, match=r'datasets is not installed; pip install "minicnn\[hf\]"'):
        load(tmp_path / "d")
    with pytest.raises(OptionError, match="datasets is not installed"):
        load("hf:someone/something")


def write(path, images, labels, names=None):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path.parent.mkdir(exist_ok=True)
    table = pa.table({"image": images, "label": labels, "other": list(range(len(labels)))})
    if names:
        facts = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(facts)})
    parquet.write_table(table, path)


def test_rows_of_bytes_and_of_mappings(tmp_path):
    write(tmp_path / "a.parquet", [png(i) for i in range(3)], [1, 0, 2])
    source = load(tmp_path / "a.parquet")
    assert source.classes == ["0", "1", "2"]
    assert source.train.pixels[:][:, 0, 0].tolist() == [1, 0, 2]
    rows = [{"bytes": png(i), "path": f"{i}.png"} for i in range(3)]
    write(tmp_path / "b.parquet", rows, [1, 0, 1], ["cat", "dog"])
    source = load(tmp_path / "b.parquet")
    assert (source.classes, source.train.labels.tolist()) == (["cat", "dog"], [0, 1, 1])
    assert source.train.names == ["row 1 (1.png)", "row 0 (0.png)", "row 2 (2.png)"]


def test_classes_keep_the_order_that_the_table_says(tmp_path):
    names = ["zebra", "ant", "none", "cat"]
    write(tmp_path / "d" / "train-0.parquet", [png(i) for i in range(3)], [3, 0, 1], names)
    write(tmp_path / "d" / "train-1.parquet", [png(9)], [0], names)
    source = load(tmp_path / "d")
    assert source.classes == names
    pixels = source.train.pixels[:][:, 0, 0].tolist()
    assert dict(zip(pixels, source.train.labels.tolist(), strict=True)) == {0: 3, 1: 0, 2: 1, 9: 0}
    write(tmp_path / "d" / "train-1.parquet", [png(9)], [0], ["ant", "zebra"])
    assert load(tmp_path / "d").classes == ["ant", "cat", "zebra"]  # they do not say the same
    write(tmp_path / "e.parquet", [png(0)], [0], ["ant", "ant"])
    with pytest.raises(FormatError, match="two classes are called 'ant'"):
        load(tmp_path / "e.parquet")


def test_a_folder_of_parts(tmp_path):
    for part in ("train", "validation", "test"):
        write(tmp_path / f"{part}-00000-of-00001.parquet", [png(i) for i in range(4)], ["a", "b", "a", "b"])
    source = load(tmp_path)
    assert (len(source.train), len(source.validation), len(source.test)) == (4, 4, 4)


@pytest.mark.parametrize(
    "images, labels, names, what",
    [
        ([b"x"], [0], None, "row 0: not an image"),
        ([None], ["a"], None, "row 0: holds no bytes"),
        ([png(1)], [None], None, "row 0: its label is None"),
        ([png(1)], [2], ["a", "b"], "row 0: label 2 is not in 0..1"),
    ],
)
def test_bad_rows_are_named(tmp_path, images, labels, names, what):
    write(tmp_path / "a.parquet", images, labels, names)
    with pytest.raises(FormatError, match=what):
        load(tmp_path / "a.parquet")


def test_damaged_files_and_other_columns(tmp_path):
    write(tmp_path / "a.parquet", [png(1)], [0])
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(whole[:-9])
    with pytest.raises(FormatError, match="a.parquet: damaged or cut off"):
        load(tmp_path / "a.parquet")
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"x": [1]}), tmp_path / "b.parquet")
    with pytest.raises(FormatError, match="no column image, .* there are x"):
        load(tmp_path / "b.parquet")


def test_a_saved_hugging_face_data_set(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(4)], "label": [1, 0, 1, 0]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    datasets.DatasetDict({"train": whole, "test": whole.select([0, 1])}).save_to_disk(str(tmp_path / "d"))
    source = load(tmp_path / "d")
    assert (source.classes, len(source.train), len(source.test)) == (["cat", "dog"], 4, 2)
    assert np.asarray(source.train[0][0])[0, 0] == 1
    whole.save_to_disk(str(tmp_path / "one"))
    assert len(load(tmp_path / "one").train) == 4


def test_other_splits_are_named(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": png(i), "path": None} for i in range(4)], "label": [1, 0, 1, 0]}
    whole = datasets.Dataset.from_dict(rows, features=features)
    splits = {"training": whole, "dev": whole, "unlabelled": whole}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "d"))
    source = load(tmp_path / "d")
    assert (len(source.train), len(source.validation), source.test) == (4, 4, None)
    assert source.note == "left out, neither train, validation nor test: unlabelled"
    assert source.validation.names[0] == "dev: row 1"
    for one in ({"first": whole, "second": whole}, {"test": whole, "second": whole}):
        datasets.DatasetDict(one).save_to_disk(str(tmp_path / "-".join(one)))
        with pytest.raises(FormatError, match=f"no split is called train; there are {', '.join(one)}"):
            load(tmp_path / "-".join(one))


def test_bad_rows_of_a_hugging_face_data_set_are_left_out(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    images = [{"bytes": png(1), "path": None}, {"bytes": None, "path": str(tmp_path / "gone.png")}, None]
    rows = {"image": [*images, images[0]], "label": [0, 0, 0, -1]}
    records = HuggingFaceRecords(datasets.Dataset.from_dict(rows, features=features), "d")
    with pytest.raises(FormatError, match="no such file"):
        pack([records], tmp_path / "out")
    pack([records], tmp_path / "out", skip_bad=True)
    facts, parts = open_pack(tmp_path / "out")
    assert len(parts["train"]) == 1
    assert facts["skipped"] == [
        ["row 1 (gone.png)", "no such file"],
        ["row 2", "holds no bytes of an image file"],
        ["row 3", "its label is -1, expected 0 to 65535"],
    ]


def test_rows_are_named_with_their_file_and_left_out(tmp_path):
    write(tmp_path / "train-0.parquet", [png(i) for i in range(3)], [0, 1, 0])
    write(tmp_path / "train-1.parquet", [png(3), b"bad", None, png(4), png(5)], [0, 1, 1, -1, 70_000])
    write(tmp_path / "test" / "0.parquet", [png(6)], [1])
    with pytest.raises(FormatError) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'train-1.parquet'}: row 1: not an image")
    source = load(tmp_path, skip_bad=True)
    assert [name for name, _ in source.skipped] == [f"train-1.parquet: row {row}" for row in range(1, 5)]
    assert (len(source.train), len(source.test)) == (4, 1)


def test_a_folder_of_test_rows_only_is_refused(tmp_path):
    write(tmp_path / "test-00000.parquet", [png(1)], [0])
    with pytest.raises(FormatError, match="no images to train on: by their names all are for test"):
        load(tmp_path)


def test_a_row_cannot_name_a_file_of_this_machine(tmp_path):
    (tmp_path / "secret.png").write_bytes(png(1))
    write(tmp_path / "a.parquet", [{"bytes": None, "path": str(tmp_path / "secret.png")}], [0])
    with pytest.raises(FormatError, match="holds no bytes"):
        load(tmp_path / "a.parquet")


def test_a_disk_that_fails_is_no_damaged_file(tmp_path, monkeypatch):
    class Failing(io.BytesIO):
        def read(self, count=-1):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    write(tmp_path / "a.parquet", [png(1)], [0])
    monkeypatch.setattr("minicnn.data.records.table.opened", lambda path: Failing(bytes(1000)))
    with pytest.raises(OSError, match="Input/output error") as caught:
        load(tmp_path / "a.parquet")
    assert caught.value.filename == str(tmp_path / "a.parquet")
