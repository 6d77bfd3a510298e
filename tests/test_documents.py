"""The documents say what the code does today."""

import dataclasses
import importlib
import re
import runpy
from pathlib import Path

import pytest

import minicnn
from minicnn import nn, optim, transforms
from minicnn.train import Callback, Config
from minicnn.train.preprocess import AUGMENTATIONS

Image = pytest.importorskip("PIL.Image")

ROOT = Path(__file__).parents[1]


def test_the_page_of_operations_is_that_of_the_code():
    text = runpy.run_path(str(ROOT / "docs/make_operations.py"))["text"]()
    assert (ROOT / "docs/operations.md").read_text(encoding="utf-8") == text, "run docs/make_operations.py"


@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "kernels/README.md",
        "docs/data.md",
        "docs/kernels.md",
        "docs/pytorch.md",
        "docs/serving.md",
        "docs/training.md",
    ],
)
def test_files_that_a_document_names_exist(document):
    words = re.findall(r"`([\w./-]+\.(?:py|md|c|h|pyx|toml))`", (ROOT / document).read_text(encoding="utf-8"))
    named = [word for word in words if "/" in word]
    places = [ROOT, ROOT / "minicnn", ROOT / "kernels"]
    missing = [word for word in named if not any((place / word).exists() for place in places)]
    assert missing == []


def test_the_examples_of_the_readme_learn(capsys):
    code = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("".join(code), "README.md", "exec"), {"__name__": "readme"})
    trained, frozen = map(float, capsys.readouterr().out.split())
    assert trained == frozen > 0.95


def test_the_example_of_the_report_prints_it(capsys):
    text = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile("".join(code), "serving.md", "exec"), {"__name__": "serving"})
    printed = capsys.readouterr().out
    if minicnn.backends.active().name == "native":
        assert re.search(r"^conv2d \{'native': .*'algorithms': \{'winograd': 1\}", printed, re.MULTILINE)


def test_the_example_of_the_page_on_training_learns_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    code = compile("".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL)), "training.md", "exec")
    exec(code, first := {"__name__": "training"})
    assert all(float(word) > 0.95 for word in capsys.readouterr().out.split())
    assert len(first["history"]) > 3 and first["watch"].gap < 0.05
    exec(code, second := {"__name__": "training"})  # nothing is left to train
    assert second["history"] == [] and second["watch"].gap == first["watch"].gap


def test_the_page_on_training_names_all_options_and_callbacks():
    page = (ROOT / "docs/training.md").read_text(encoding="utf-8")
    options = page.partition("## Options")[2].partition("\n- ")[0]
    assert set(re.findall(r"`(\w+)`", options)) == {field.name for field in dataclasses.fields(Config)}
    methods = set(re.findall(r"^\| `(\w+)\(|, `(load_state_dict)\(", page, re.MULTILINE))
    public = {name for name in vars(Callback) if not name.startswith("_")}
    assert {name for names in methods for name in names if name} == public - {"name"}


def test_the_page_on_data_lists_transforms_and_augmentations():
    page = (ROOT / "docs/data.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"`([\w-]+)[`(]", page))
    assert set(transforms.__all__) - listed == {"InterpolationMode", "Transform", "functional"}
    assert set(AUGMENTATIONS) <= listed
    drawn = runpy.run_path(str(ROOT / "docs/make_augmentations.py"))
    names = {re.match(r"\w*", name)[0] for name in drawn["CHANGES"]}
    chains = {"Compose", "Lambda", "RandomApply", "RandomChoice", "RandomOrder"}
    numbers = {"ConvertImageDtype", "Normalize", "PILToTensor", "ToPILImage", "ToTensor"}
    several = {"FiveCrop", "TenCrop", "InterpolationMode", "Transform", "functional"}
    assert set(transforms.__all__) - names == chains | numbers | several
    with Image.open(ROOT / "docs/augmentations.png") as image:
        assert drawn["sheet"]().size == image.size


def test_names_listed_as_absent_are_absent():
    text = (ROOT / "docs/pytorch.md").read_text(encoding="utf-8")
    table = text.partition("## What is not there")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([\w.]+)`[^|]*\| (.*) \|$", table, re.MULTILINE)
    listed = [(module, name) for module, names in rows for name in re.findall(r"`(\w+)`", names)]
    assert len(listed) > 100
    present = []
    for module, name in listed:
        place = importlib.import_module("minicnn" if module == "torch" else f"minicnn.{module}")
        if hasattr(place, name):
            present.append(f"{module}.{name}")
    assert present == [], "no longer absent: take them out of docs/pytorch.md"


def test_calls_listed_as_refused_are_refused():
    text = (ROOT / "docs/pytorch.md").read_text(encoding="utf-8")
    table = text.partition("| of | absent |")[2].partition("\n\n")[0]
    calls = re.findall(r"`([^`]+)`", table)
    assert len(calls) > 15
    taken = []
    for call in calls:
        model = nn.Linear(2, 2)
        names = {"model": model, "p": list(model.parameters()), "g": minicnn.Generator()}
        names |= {"torch": minicnn, "nn": nn, "optim": optim, "x": minicnn.ones(2, 2, requires_grad=True)}
        try:
            eval(call, names)
        except (TypeError, AttributeError, minicnn.MiniCNNError):
            continue
        taken.append(call)
    assert taken == [], "no longer refused: take them out of docs/pytorch.md"
