"""The report of a run: all its parts, whole, and in agreement with the files of the run."""

from __future__ import annotations

import base64
import io
import json
import platform
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import PIL
import pytest
from PIL import Image

import minicnn
from minicnn.nn.summary import summarize
from minicnn.train import log, outcome, pictures, run
from minicnn.train.config import Config, load_toml
from minicnn.train.evaluate import open_run
from minicnn.train.parts import parts_of

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")


class Page(HTMLParser):
    """The parts of a page by their headings: text, tables as rows of cells, pictures by what they show."""

    def __init__(self, text):
        super().__init__()
        self.parts, self.heading, self.attributes, self.tag = {}, "", [], ""
        self._begin("")
        self.feed(text)

    def _begin(self, heading):
        self.heading = heading
        self.parts[heading] = SimpleNamespace(text="", tables=[], pictures={})

    def handle_starttag(self, tag, attributes):
        self.attributes += [value for name, value in attributes if name in ("src", "href")]
        part, values = self.parts[self.heading], dict(attributes)
        if tag == "table":
            part.tables.append([])
        elif tag == "tr":
            part.tables[-1].append([])
        elif tag in ("td", "th"):
            part.tables[-1][-1].append("")
        elif tag == "img":
            kind, content = re.fullmatch(r"data:image/(png|svg\+xml);base64,(.+)", values["src"]).groups()
            part.pictures[values["alt"]] = (kind, base64.b64decode(content, validate=True))
        self.tag = tag

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag == "h2":
            self._begin(data)
        elif self.tag in ("td", "th", "small"):  # what is small stands in a cell
            self.parts[self.heading].tables[-1][-1][-1] += data
        elif self.tag != "style":
            self.parts[self.heading].text += data


def page_of(run):
    return Page((run / "report.html").read_text(encoding="utf-8"))


def texts_of(picture):
    """What an SVG of matplotlib says: it keeps the text beside the outlines, as comments."""
    kind, content = picture
    assert kind == "svg+xml"
    ElementTree.fromstring(content)  # whole
    return re.findall(r"<!-- (.+?) -->", content.decode())


def size_of(picture):
    kind, content = picture
    assert kind == "png"
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        assert np.asarray(image.convert("L")).std() > 5  # something is drawn
        return image.size


def test_it_has_all_parts_in_their_order(trained):
    assert list(page_of(trained).parts)[1:] == [
        "Curves",
        "Confusion matrix",
        "Calibration",
        "Training images, as the model sees them",
        "Worst errors: test images that it was surest of",
        "Classes",
        "Model",
        "Configuration",
        "Versions",
    ]


def test_its_figures_are_those_of_the_run(trained):
    page, result = page_of(trained), json.loads((trained / "result.json").read_text())
    test = result["test"]
    low, high = test["intervals"]["accuracy"]
    head = " ".join(page.parts[""].text.split())
    for figure in (f"{test['accuracy']:.2%}", f"interval {low:.2%} to {high:.2%}", f"{test['loss']:.4f}"):
        assert figure in head
    most = max(facts["support"] for facts in test["classes"].values()) / test["count"]
    assert f"Always answering with the most frequent class would be right on {most:.2%}." in head
    assert len(result["remarks"]) > 1
    for remark in result["remarks"]:
        assert " ".join(remark.split()) in head
    shades = re.findall(r"rgb\(31 119 180 / (\d+)%\)", (trained / "report.html").read_text(encoding="utf-8"))
    shares = [round(100 * n / sum(row)) for row in test["confusion"] for n in row]
    assert list(map(int, shades)) == shares
    first, *rows = page.parts["Confusion matrix"].tables[0]
    assert first[1:] == list(test["classes"])
    assert [[int(cell) for cell in row[1:]] for row in rows] == test["confusion"]
    assert sum(sum(row) for row in test["confusion"]) == 359

    def cell(value, ends):
        return f"{value:.2%}{ends[0]:.2%} to {ends[1]:.2%}"

    _, *rows, averages = page.parts["Classes"].tables[0]
    names = ("precision", "recall", "f1")
    for row, (name, facts) in zip(rows, test["classes"].items(), strict=True):
        cells = [cell(facts[key], facts["intervals"][key]) for key in names]
        assert row == [name, *cells, str(facts["support"])]
    means = [cell(test[f"macro_{key}"], test["intervals"][f"macro_{key}"]) for key in names]
    assert averages == ["macro average", *means, "359"]


def test_its_pictures_are_whole_and_say_what_they_show(trained):
    page, test = page_of(trained), json.loads((trained / "result.json").read_text())["test"]
    words = texts_of(page.parts["Curves"].pictures["Loss and accuracy over the training"])
    expected = {
        "updates",
        "loss",
        "accuracy in %",
        "each update",
        "training, mean of the epoch",
        "validation",
    }
    assert expected <= set(words)
    words = texts_of(page.parts["Calibration"].pictures["Share of right answers by confidence"])
    assert f"expected calibration error {test['calibration_error']:.3f}; numbers: images" in words
    assert [word for word in words if word.isdigit()] == [
        str(int(n)) for n, _, _ in test["calibration_bins"] if n
    ]
    for heading in list(page.parts)[4:6]:
        assert {size_of(picture) for picture in page.parts[heading].pictures.values()} == {(8, 8)}
    with Image.open(trained / "curves.png") as image:
        assert image.size[0] > 500


def test_the_errors_shown_are_the_worst(trained):
    finished, test = open_run(trained), json.loads((trained / "result.json").read_text())["test"]
    source = run.load_source(finished.config)
    parts = parts_of(source, finished.config)
    parts.test.open()
    training, worst = outcome._examples(source, parts, test).values()
    assert len({one.caption for one in training}) > 5
    assert len(worst) == len(test["worst"]) > 5
    for one, error in zip(worst, test["worst"], strict=True):
        np.testing.assert_array_equal(one.pixels, source.test.pixels[error["image"]])
        true, taken = (source.classes[error[name]] for name in ("target", "prediction"))
        assert one.caption == f"{true}, taken for {taken}, {error['confidence']:.0%}"


def test_model_configuration_and_versions_are_complete(trained):
    page, finished = page_of(trained), open_run(trained)
    assert page.parts["Model"].text.strip() == str(summarize(finished.model, (1, 1, 8, 8))).strip()
    config = {name: value for name, value in load_toml(trained / "config.toml").items() if name != "recorded"}
    usual = Config().to_dict()
    tables = page.parts["Configuration"].tables
    assert {"data", "epochs", "model"} - {row[0] for row in tables[0]} == {"data"}  # that is the default
    for table, default in zip(tables, (False, True), strict=True):
        rows = [[name, str(value)] for name, value in config.items() if (value == usual[name]) == default]
        assert table == rows
    assert config.keys() == finished.config.to_dict().keys()
    versions = dict(page.parts["Versions"].tables[0])
    assert versions == {
        "minicnn": minicnn.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "Pillow": PIL.__version__,
        "system": platform.platform(),
    }


def test_it_needs_nothing_from_outside(trained):
    page = page_of(trained)
    assert page.attributes and all(value.startswith("data:") for value in page.attributes)
    text = (trained / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<script|<link|@import|url\(", text)


def test_mixed_images_have_no_accuracy(tmp_path, command, monkeypatch):
    monkeypatch.undo()  # with its report
    done = command("train", "--epochs", "2", "--batch-size", "256", "--mix", "mixup", "--out", tmp_path / "r")
    assert done.code == 0, done.err
    epochs = [record for record in log.read(tmp_path / "r" / "metrics.jsonl") if "train_loss" in record]
    assert len(epochs) == 2
    assert all("train_accuracy" not in record and "val_accuracy" in record for record in epochs)
    assert re.search(r"epoch 2: train loss \d\.\d+, validation loss \d\.\d+ accuracy", done.err)
    text = " ".join(page_of(tmp_path / "r").parts["Curves"].text.split())
    assert "Of mixed images there is no accuracy" in text
    _, right = pictures.draw_curves(epochs).axes
    assert [line.get_label() for line in right.get_lines()] == ["validation"]


def test_what_mixed_images_do_not_have_is_not_watched(tmp_path, command):
    words = ("train", "--mix", "cutmix", "--monitor", "train_accuracy", "--out", tmp_path / "r")
    for option in (("--best",), ("--patience", "2")):
        done = command(*words, *option)
        assert done.code == 2
        assert "train_accuracy is watched, and mixed images have none; --monitor train_loss" in done.err
        assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    "options, caption",
    [
        ((), "Training figures are means over an epoch"),
        (("--ema", "0.9"), "The validation is of the averaged weights"),
        (("--label-smoothing", "0.1"), "The training loss is of smoothed, weighted or mixed labels"),
    ],
)
def test_captions_say_what_the_curves_are_of(tmp_path, command, monkeypatch, options, caption):
    monkeypatch.undo()
    command(
        "train", "--epochs", "1", "--max-steps", "1", "--batch-size", "256", *options, "--out", tmp_path / "r"
    )
    text = " ".join(page_of(tmp_path / "r").parts["Curves"].text.split())
    assert caption in text
    assert "no accuracy" not in text
