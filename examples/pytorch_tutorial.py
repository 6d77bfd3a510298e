"""A CIFAR-10 tutorial script, written for PyTorch; only the import lines differ.

python examples/pytorch_tutorial.py --root path/to/cifar10 --epochs 2
"""

import argparse
import os

import minicnn as torch
import minicnn.nn as nn
import minicnn.optim as optim
from minicnn import datasets, transforms


def conv_block(in_channels, out_channels, pool=False):
    layers = [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
    if pool:
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


class SmallResNet(nn.Module):
    def __init__(self, num_classes=10, width=16):
        super().__init__()
        self.stem = conv_block(3, width)
        self.down1 = conv_block(width, 2 * width, pool=True)
        self.res1 = nn.Sequential(conv_block(2 * width, 2 * width), conv_block(2 * width, 2 * width))
        self.down2 = conv_block(2 * width, 4 * width, pool=True)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(0.2), nn.Linear(4 * width, num_classes)
        )
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def forward(self, x):
        x = self.down1(self.stem(x))
        x = self.res1(x) + x
        return self.classifier(self.down2(x))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default="data", help="folder with the binary CIFAR-10 files")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--max-batches", type=int, default=0, help="stop an epoch early")
    parser.add_argument("--checkpoint", default="cifar10.ckpt")
    args = parser.parse_args()

    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)

    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    train_transform = transforms.Compose(
        [
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    test_transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])
    trainset = datasets.CIFAR10(root=args.root, train=True, download=True, transform=train_transform)
    trainloader = torch.utils.data.DataLoader(
        trainset, batch_size=args.batch_size, shuffle=True, num_workers=2, drop_last=True
    )
    testset = datasets.CIFAR10(root=args.root, train=False, download=True, transform=test_transform)
    testloader = torch.utils.data.DataLoader(testset, batch_size=args.batch_size, shuffle=False)
    classes = testset.classes

    net = SmallResNet(len(classes)).to(device)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=args.epochs)

    start_epoch = 0
    if os.path.exists(args.checkpoint):
        checkpoint = torch.load(args.checkpoint, map_location=device)
        net.load_state_dict(checkpoint["net"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        scheduler.load_state_dict(checkpoint["scheduler"])
        start_epoch = checkpoint["epoch"] + 1

    for epoch in range(start_epoch, args.epochs):
        net.train()
        running_loss = 0.0
        for i, data in enumerate(trainloader, 0):
            inputs, labels = data[0].to(device), data[1].to(device)
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = criterion(outputs, labels)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), max_norm=5.0)
            optimizer.step()
            running_loss += loss.item()
            if args.max_batches and i + 1 >= args.max_batches:
                break
        scheduler.step()
        print(f"epoch {epoch + 1}: loss {running_loss / (i + 1):.3f}, lr {scheduler.get_last_lr()[0]:.4f}")
        torch.save(
            {
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(),
                "epoch": epoch,
            },
            args.checkpoint,
        )

    correct, total = 0, 0
    correct_of = {name: 0 for name in classes}
    total_of = {name: 0 for name in classes}
    net.eval()
    with torch.no_grad():
        for images, labels in testloader:
            outputs = net(images.to(device))
            _, predicted = torch.max(outputs.data, 1)
            total += labels.size(0)
            correct += (predicted == labels.to(device)).sum().item()
            for label, prediction in zip(labels, predicted):
                total_of[classes[label]] += 1
                correct_of[classes[label]] += int(label == prediction)
    print(f"accuracy on {total} test images: {100 * correct / total:.1f} %")
    for name in classes:
        if total_of[name]:
            print(f"  {name:5s} {100 * correct_of[name] / total_of[name]:.1f} %")


if __name__ == "__main__":
    main()
