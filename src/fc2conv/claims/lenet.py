"""7.6: what LeNet's poor result in the book is due to, and how convolutions go in parallel."""

from __future__ import annotations

from fc2conv.claims import timing
from fc2conv.claims.claim import FULL, Claim, effect, ratio

TRAINING = Claim(
    name="training",
    number=14,
    section="7.6",
    title="Only the training",
    sentence="LeNet, trained as the book trains it, is worse than softmax regression. That is its training, not its "
    "architecture: the same network with a better recipe is far ahead.",
    source="D2L 7.6.2; the book's stored curve ends at .728, softmax regression's at about .84",
    expected="With plain SGD the sigmoids stay on their plateau for epochs, and LeNet ends below softmax regression. "
    "With AdamW and one cycle it is several points above, also where softmax regression is trained so, too.",
    refuted_by="A LeNet that is not behind with the book's recipe, or not ahead with a better one.",
    sweeps=("training_recipes", "training_softmax", "training_changes"),
    seeds=FULL,
    rates=(),
    comparisons=(
        effect(
            "with the book's recipe softmax regression is ahead of LeNet",
            "model=softmax data.batch_size=256",
            "model=lenet optim=d2l trainer.max_epochs=10",
        ),
        effect(
            "with a better recipe LeNet is ahead of softmax regression as the book trains it",
            "model=lenet optim=sigmoid",
            "model=softmax data.batch_size=256",
        ),
        effect(
            "and of softmax regression with that recipe",
            "model=lenet optim=sigmoid",
            "model=softmax optim=sigmoid",
        ),
    ),
)

PARALLEL = Claim(
    name="parallel",
    number=15,
    section="7",
    title="Easy to parallelise",
    sentence="Convolutions are easy to do in parallel: much is computed with few weights, and these are all that "
    "processes must exchange.",
    source="D2L 7, introduction",
    expected="Two processes that share LeNet's batches train on nearly twice as many images per second. The perceptron "
    "gains less, since it has four times the gradients to exchange and less to compute between two exchanges.",
    refuted_by="A LeNet that gains less than half from a second process, or no more than the perceptron.",
    observe=lambda: timing.time_processes(("model=mlp", "model=lenet_modern"), (32, 128, 512)),
    comparisons=(
        ratio(
            "two processes train LeNet half as fast again as one",
            "model=lenet_modern data.batch_size=128 trainer.devices=2",
            "model=lenet_modern data.batch_size=128 trainer.devices=1",
            1.5,
            "images_per_second",
        ),
        ratio(
            "LeNet gains more from the second one than the perceptron",
            "model=lenet_modern data.batch_size=128 trainer.devices=2",
            "model=mlp data.batch_size=128 trainer.devices=2",
            1.0,
            "speedup",
        ),
    ),
    data=("cpu", "cores"),
)

LENET = (TRAINING, PARALLEL)
