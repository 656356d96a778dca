"""A trainer of one weight whose steps can be counted by hand."""

import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedTrainer


class OneWeight(torch.nn.Module):
    """y = w * x."""

    def __init__(self, weight=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor([float(weight)]))

    def forward(self, x):
        return self.weight * x


@pytest.fixture
def make_trainer():
    """Trainer with the loss mean(prediction) on inputs of 1, so d loss / d weight = 1 in every step."""

    def make(handlers=(), epochs=2, steps=2, weight=1.0, learning_rate=0.5, loss=lambda pred, label: pred.mean()):
        network = OneWeight(weight)
        data = [{"image": torch.ones(1), "label": torch.ones(1)}] * steps
        return SupervisedTrainer(
            device="cpu",
            max_epochs=epochs,
            train_data_loader=DataLoader(data, batch_size=1),
            network=network,
            optimizer=torch.optim.SGD(network.parameters(), lr=learning_rate),
            loss_function=loss,
            train_handlers=list(handlers),
            decollate=False,
        )

    return make
