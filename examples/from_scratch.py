"""A softmax regression and a small network by hand, in a style that PyTorch's tutorials use.

No optimiser at first: parameters are plain tensors, updated inside ``no_grad``. Then the same
with a Dataset of our own, a schedule that steps with every batch, and two parameter groups.

    python examples/from_scratch.py
"""

import math

import numpy as np

import minicnn as torch
import minicnn.nn.functional as F
from minicnn import nn, optim
from minicnn.utils.data import DataLoader, Dataset, TensorDataset, random_split


def make_images(count, seed=0):
    """Small images of a bright bar, horizontal (class 0), vertical (1) or diagonal (2)."""
    rng = np.random.default_rng(seed)
    images = rng.normal(0.0, 0.3, size=(count, 1, 8, 8)).astype(np.float32)
    labels = rng.integers(0, 3, size=count)
    for image, label in zip(images, labels):
        k = rng.integers(1, 7)
        if label == 0:
            image[0, k, :] += 1.0
        elif label == 1:
            image[0, :, k] += 1.0
        else:
            image[0] += np.eye(8, k=k - 4, dtype=np.float32)
    return torch.from_numpy(images), torch.from_numpy(labels)


def by_hand(images, labels, steps=200, lr=0.5, bs=64):
    """Softmax regression with nothing but tensors and backward."""
    torch.manual_seed(0)
    weights = torch.randn(64, 3) / math.sqrt(64)
    weights.requires_grad_()
    bias = torch.zeros(3, requires_grad=True)

    def log_softmax(x):
        return x - x.exp().sum(-1).log().unsqueeze(-1)

    def model(xb):
        return log_softmax(xb.view(-1, 64) @ weights + bias)

    def nll(pred, target):
        return -pred[range(target.shape[0]), target].mean()

    n = images.shape[0]
    for step in range(steps):
        start = (step * bs) % n
        xb, yb = images[start : start + bs], labels[start : start + bs]
        loss = nll(model(xb), yb)
        loss.backward()
        with torch.no_grad():
            weights -= weights.grad * lr
            bias -= bias.grad * lr
            weights.grad.zero_()
            bias.grad.zero_()
    accuracy = (torch.argmax(model(images), dim=1) == labels).float().mean()
    print(f"softmax regression: loss {loss.item():.3f}, training accuracy {accuracy.item():.3f}")
    return accuracy.item()


class Flipped(Dataset):
    """Another dataset with every second image flipped left to right."""

    def __init__(self, base):
        self.base = base

    def __len__(self):
        return len(self.base)

    def __getitem__(self, i):
        image, label = self.base[i]
        return (image.flip(-1) if i % 2 and label < 2 else image), label


def with_layers(images, labels, epochs=6):
    """A convolutional network, OneCycleLR, parameter groups and weight sharing."""
    torch.manual_seed(0)
    train_set, valid_set = random_split(TensorDataset(images, labels), [0.8, 0.2])
    train_loader = DataLoader(Flipped(train_set), batch_size=32, shuffle=True)
    valid_loader = DataLoader(valid_set, batch_size=128)

    features = nn.Sequential(nn.Conv2d(1, 8, 3, padding="same"), nn.SiLU(), nn.AvgPool2d(2), nn.Flatten())
    head = nn.Linear(8 * 4 * 4, 3)
    model = nn.Sequential(features, nn.LayerNorm(8 * 4 * 4), head)
    decay = [p for p in model.parameters() if p.dim() > 1]
    no_decay = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": decay, "weight_decay": 1e-2}, {"params": no_decay, "weight_decay": 0.0}]
    opt = optim.AdamW(groups, lr=1e-3)
    schedule = optim.lr_scheduler.OneCycleLR(
        opt, max_lr=1e-2, steps_per_epoch=len(train_loader), epochs=epochs
    )

    for epoch in range(epochs):
        model.train()
        for xb, yb in train_loader:
            loss = F.cross_entropy(model(xb), yb)
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            losses, hits = zip(
                *[
                    (F.cross_entropy(model(xb), yb) * len(xb), (model(xb).max(1)[1] == yb).sum())
                    for xb, yb in valid_loader
                ]
            )
        accuracy = sum(h.item() for h in hits) / len(valid_set)
        loss = sum(float(value) for value in losses) / len(valid_set)
        print(
            f"epoch {epoch}: validation loss {loss:.4f}, accuracy {accuracy:.3f}, lr {schedule.get_last_lr()[0]:.5f}"
        )
    return accuracy


def main():
    images, labels = make_images(1000)
    by_hand(images, labels)
    with_layers(images, labels)


if __name__ == "__main__":
    main()
