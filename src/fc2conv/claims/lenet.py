"""7.6: what LeNet's poor result in the book is due to."""

from __future__ import annotations

from fc2conv.claims.claim import FULL, Claim, effect

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

LENET = (TRAINING,)
