"""MONAI's federated client builds its engines from train.json and evaluate.json and goes through one round."""

import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.exchange_object import ExchangeObject


def test_a_client_takes_weights_trains_evaluates_and_sends(bundle_copy, tiny_training):
    settings = {key: value for key, value in tiny_training.items() if key != "bundle_root"}
    evaluating = {key: value for key, value in settings.items() if key != "patch_size"}
    client = MonaiAlgo(str(bundle_copy), train_kwargs=settings, eval_kwargs=evaluating, send_weight_diff=False)
    client.initialize({"CLIENT_NAME": "site-1"})
    start = {name: value.clone() for name, value in client.trainer.network.state_dict().items()}
    client.train(ExchangeObject(weights=start))
    assert client.trainer.state.epoch == 1
    sent = client.get_weights().weights
    assert set(sent) == set(start)
    assert any(not torch.equal(sent[name], start[name]) for name in start)
    metrics = client.evaluate(ExchangeObject(weights=sent)).metrics
    assert 0.0 <= metrics["val_dice"] <= 1.0
    client.finalize()
