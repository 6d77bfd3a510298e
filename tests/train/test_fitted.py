"""A training refuses what was fitted on images that it shall be measured on."""

import pytest

from minicnn import nn, optim, transforms
from minicnn.data import DataLoader, Subset, sources, statistics
from minicnn.errors import OptionError
from minicnn.train import Trainer


def test_what_was_fitted_on_more_than_the_training_images_is_refused():
    images = sources.load("digits").train
    held_out = Subset(images, range(100, 200))

    def fit(statistics_of):
        usual = images.with_transform(
            transforms.Compose([transforms.ToTensor(), transforms.Normalize(*statistics(statistics_of))])
        )
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        made = Trainer(model, optim.SGD(model.parameters(), lr=0.1), classes=10)
        train, validation = Subset(usual, range(100)), Subset(usual, held_out.indices)
        return made.fit(DataLoader(train, 50), DataLoader(validation, 50), epochs=1)

    assert len(fit(Subset(images, range(100)))) == 1
    with pytest.raises(OptionError, match="Normalize was fitted on 1438 samples, of which .* are not in"):
        fit(images)
