"""The command line as a user has it: each test starts train.py."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from fc2conv import entry
from fc2conv.architectures import ARCHITECTURES
from fc2conv.compose import compose_config, explain
from fc2conv.config.parsing import parse
from fc2conv.config.schema import GROUPS, Config, DataConfig, plain
from fc2conv.entry import execute
from fc2conv.errors import ConfigError, Interrupted, NonFiniteLoss, guarded
from fc2conv.record.result import Result

ROOT = Path(__file__).parent.parent


def call(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=120)


WRONG = [
    ("model.kernal_size=3", "model.kernal_size: no such key; did you mean kernel_size?"),
    ("+model.kernal_size=3", "model.kernal_size: no such key; did you mean kernel_size?"),
    ("++model.kernal_size=3", "model.kernal_size: no such key; did you mean kernel_size?"),
    ("++trainer.epochs=3", "trainer.epochs: no such key; did you mean max_epochs?"),
    ("+foo=1", "foo: no such key."),
    ("modle=lenet", "modle: no such key; did you mean model?"),
    ("model=lenett", "model: got lenett, no such choice; did you mean lenet?"),
    ("model.channels=[6,16", "model.channels=[6,16: cannot be read as key=value"),
    ("logger.project=mine", "logger.project: is written logger.wandb.project now"),
    ("logger=[wandb,csvv]", "logger: got csvv, no such choice; did you mean csv?"),
    ("callbacks=emma", "callbacks: got emma, no such choice; did you mean ema?"),
    ("trainer.max_epochs=abc", "trainer.max_epochs: got abc, expected a whole number"),
    ("model.pool=maxx", "model.pool: got maxx, expected one of average, max, blur, strided, none"),
    ("seed=-1", "seed: got -1, expected a whole number from 0"),
    (
        "model.kernel_size=[5,17]",
        "model.kernel_size: conv2: kernel 17 does not fit the 14x14 input it gets; use padding or a smaller kernel",
    ),
    ("model.channels=[6,16,32]", "pool3: window 2 does not fit the 1x1 input it gets"),
    ("task=test ckpt=nowhere.ckpt", "ckpt: got nowhere.ckpt, but there is no such file"),
    ("resume=nowhere", "resume: got nowhere, but no run lies there"),
    ("runs_dir=README.md/runs", "runs_dir: got README.md/runs, but README.md is a file"),
    ("runs_dir=/proc/runs", "runs_dir: got /proc/runs, but nothing can be written to /proc"),
    ("data=folder data.path=nowhere", "nowhere is no folder (data.path)"),
    ("match.prams=20000", "match.prams: no such key; did you mean params?"),
    ("match.params=0", "match.params: got 0, expected 1 or more, or null"),
    ("match.params=20000 match.macs=1e6", "match.macs: got 1000000, beside match.params=20000; one budget at a time"),
    ("match.params=20000 match.keys=[]", "match.keys: got [], expected a list of the model's keys, or null"),
    ("match.params=20000 match.keys=[kernel_size]", "match.keys: got kernel_size, but it is no width; widths of lenet"),
    ("match.params=20000 match.keys=[chanels]", "match.keys: got chanels, but it is no width; widths of lenet are"),
    ("model=lenet_gap match.params=20000 match.keys=[hidden]", "match.keys: got hidden, but only model.head=dense has"),
    ("model=softmax match.params=7850", "match.params: got 7850, but softmax has no widths to scale"),
    ("model=mlp model.hidden=[] match.macs=1", "match.macs: got 1, but mlp has no widths to scale (model.hidden=[])"),
    (
        "model=resnet match.params=20000",
        "match.params: got 20000, but the nearest that resnet comes to is 19074 parameters, with model.width=8; "
        "use match.params=19074, or another network",
    ),
    ("model.kernel_size=[5,17] match.params=20000", "model.kernel_size: conv2: kernel 17 does not fit the 14x14"),
    ("data.train_size=60000", "data.train_size: got 60000, but data.val_size=5000 leaves 55000"),
    ("trainer.devices=2", "trainer.devices: got 2, but trainer.strategy=single; use trainer=ddp"),
    ("trainer=ddp trainer.devices=1000", "trainer.devices: got 1000, but this machine has"),
    ("trainer=slurm", "start it with srun"),
    ("trainer.gradient_clip=-1", "trainer.gradient_clip: got -1.0, expected a positive number"),
    ("data.seed=-1", "data.seed: got -1, expected a whole number from 0"),
    ("model=null", "got null for one of them, expected a choice"),
    (f"name={'x' * 300}", "expected at most 200 bytes"),
    ("hydra.run.dir=/proc/nope", "hydra.run.dir: got /proc/nope, but a run lies in runs_dir"),
    (f"resume={'x' * 300}", "the system says: File name too long; choose a shorter one"),
    (f"data=folder data.path={'x' * 300}", "the system says: File name too long; choose a shorter one"),
    (f"task=test ckpt={'x' * 300}", "the system says: File name too long; choose a shorter one"),
    ("trainer.threads=100000", "trainer.threads: got 100000, expected from 1 to 1024"),
    ("model.channels=[1000000000]", "model.channels: got [1000000000], and training would need about 3.19 PiB"),
    ("data.canvas=1000000", "data.canvas: got 1000000, and training would need about"),
    ("data.bands=100000000", "data.bands: got 100000000, and training would need about"),
]


FORKS = """
import json, os, runpy, sys, tempfile
import fc2conv.entry  # once for all calls
answers = {}
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile("w+") as told:
        if not (child := os.fork()):
            os.dup2(told.fileno(), 2)
            sys.argv = ["train.py", *arguments.split()]
            runpy.run_path("train.py", run_name="__main__")
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        told.seek(0)
        answers[arguments] = code, told.read()
print(json.dumps(answers))
"""
"""Each call in a process of its own, but for the imports."""


def test_a_wrong_call_gets_one_message_and_exit_code_2_without_torch(tmp_path: Path) -> None:
    # a torch that cannot be imported: whoever tries gets a traceback and exit code 1
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    calls = json.dumps([arguments for arguments, _ in WRONG])
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", FORKS], cwd=ROOT, env=environment, input=calls, capture_output=True, text=True
    )
    answers = json.loads(done.stdout.splitlines()[-1])
    assert len(answers) == len(WRONG)
    wrong = {
        arguments: answers[arguments]
        for arguments, message in WRONG
        if answers[arguments][0] != 2
        or message not in answers[arguments][1]
        or len(answers[arguments][1].splitlines()) != 1
    }
    assert not wrong
    done = call(*WRONG[0][0].split())  # one of them as a user has it
    assert (done.returncode, done.stderr) == tuple(answers[WRONG[0][0]])


SILENT = [
    # an unset shell variable
    ("resume=", "resume: got '', expected text or null; is a shell variable unset?"),
    ("sweep=", "sweep: got ''"),
    ("runs_dir=", "runs_dir: got '', expected text; is a shell variable unset?"),
    ("data.dir=", "data.dir: got ''"),
    ("seed=", "seed: got '', expected a whole number; is a shell variable unset?"),
    ("model=", "model: got '', is a shell variable unset?"),
    ("plugins=", "plugins: got '', is a shell variable unset?"),
    # what is meant otherwise than it is read
    ("model.family=mlp", "model.family: got mlp with the keys of lenet; choose by model=mlp"),
    ("model=[lenet,mlp]", "model: got [lenet,mlp], expected one choice; to try several: -m model=lenet,mlp"),
    ("model=lenet,mlp", "model: got lenet,mlp, several values; to try each of them, add -m"),
    ("seed=0,1", "seed: got 0,1, several values; to try each of them, add -m; a list is written seed=[0,1]"),
    ("seed=${nosuch}", "seed: got ${nosuch}, but there is no key nosuch"),
    ("model.channels=[6,${data.nosuch}]", "model.channels[1]: got ${data.nosuch}, but there is no key data.nosuch"),
    ("seed=${oc.env:FC2CONV_NOSUCH}", "seed: Environment variable 'FC2CONV_NOSUCH' not found"),
    ("~optim", "optim: cannot be deleted"),
    ("+seed=1", "seed: there is such a key; write it without the +"),
    ("=3", "=3: cannot be read as key=value (there is no key)"),
    # what means nothing
    ("data.shift=[0,-28]", "data.shift: got [0,-28], expected less than the 28 pixels that move an image out of sight"),
    ("data.canvas=40 data.shift=[34,0]", "data.shift: got [34,0], expected less than the 34 pixels"),  # 28 + (40-28)/2
    ("data.translate=28", "data.translate: got 28, expected less than the 28 pixels"),
    ("name=.hidden", "name: got .hidden, expected a name that a listing shows"),
    # what would not be read
    ("hydra.run.dir=elsewhere", "hydra.run.dir: got elsewhere, but a run lies in runs_dir, under its name"),
    ("hydra/launcher=slurm", "hydra/launcher: got slurm, which is about sweeps; add -m"),
    ("hydra.launcher.jobs=4", "hydra.launcher.jobs: got 4, which is about sweeps; add -m"),
    ("hydra.sweeper.seed=4", "hydra.sweeper.seed: got 4, which is about sweeps; add -m"),
    ("allow=[os.system]", "allow: got [os.system], expected [] with task=train"),
    ("data.size=64", "data.size: got 64, expected a divisor of the image's 28 pixels"),
    (
        "data=world_order data.size=16",
        "data.size: got 16, expected null with data=world_order; a size is for",
    ),
    ("data.place=random", "data.place: got random, but only images on a data.canvas have a place"),
    ("data.block=4", "data.block: got 4, but only data.permutation=block and block_order read it"),
    ("optim=adamw optim.momentum=0.5", "optim.momentum: got 0.5, but only optim.name=sgd reads it"),
    ("optim=d2l optim.warmup=0.1", "optim.warmup: got 0.1, but only optim.schedule=onecycle reads it"),
    ("model=lenet5 optim.label_smoothing=0.1", "optim.label_smoothing: got 0.1, but lenet5 has a loss of its own"),
    ("trainer.patience=10", "trainer.patience: got 10, but 10 epochs are over before it is"),
    ("model=ladder model.constraint=dense model.half_width=3", "model.half_width: got 3, but only model.constraint="),
    ("model=lenet_gap model.hidden=[30]", "model.hidden: got [30], but only model.head=dense has hidden layers"),
    ("model.pool=none model.pool_after=[1]", "model.pool_after: got [1], but model.pool=none pools nowhere"),
    ("match.keys=[channels]", "match.keys: got [channels], but only match.params and match.macs scale widths"),
    ("model.padding=0 model.padding_mode=reflect", "model.padding_mode: got reflect, but model.padding pads nothing"),
]


@pytest.mark.parametrize(("arguments", "message"), SILENT, ids=[w[0] for w in SILENT])
def test_nothing_is_ignored_in_silence(arguments: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "plan_of", None)  # what gets further fails otherwise
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        entry.execute(*compose_config(arguments.split()))
    code, told = explain(refused.value)
    assert code == 2
    assert told.startswith(message)
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        "data.permutation=block data.block=4",
        "data.canvas=40 data.place=random data.shift=[33,-33]",
        "optim=d2l optim.momentum=0.5",
        "trainer.patience=9",
        "data.path=null",
        "model.padding=same model.padding_mode=reflect",
        "model.channels=[6,${seed}] seed=3",
    ],
)
def test_what_is_read_may_be_written(arguments: str) -> None:
    result = entry.execute(*compose_config([*arguments.split(), "task=plan"]))
    assert result is not None
    assert result.overrides[:-1] == arguments.split()


def test_an_agent_of_wandb_writes_all_keys_of_its_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SWEEP_ID", "s1")
    assert entry.execute(*compose_config(["optim=adamw", "optim.momentum=0.5", "task=plan"]))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("- 1", "it holds no keys"),
        ("model: [1", "while parsing a flow sequence"),
        ("modle: lenet", "modle: no such key"),
        ("seed: 1", "result.json has other values"),
        ("\x05", "unacceptable character"),
    ],
)
def test_a_damaged_config_is_said(text: str, reason: str, tmp_path: Path) -> None:
    """A run that had gone on from it would not be the one that was begun."""
    Result.of(Config(seed=2), None, "run").write(tmp_path)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        execute(*compose_config([f"resume={tmp_path}"]))
    assert str(caught.value).startswith(f"resume: {tmp_path}/config.yaml is damaged ({reason}")
    assert "the run's config is in its result.json, too" in str(caught.value)


def test_a_config_that_is_whole_is_read(tmp_path: Path) -> None:
    """Where the data lies may have changed."""
    config = Config(seed=2)
    replace(Result.of(config, None, "run"), status="done").write(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(replace(config, data=DataConfig(dir="elsewhere")))))
    with pytest.raises(ConfigError, match="is done; there is nothing left to train"):
        execute(*compose_config([f"resume={tmp_path}"]))


def test_a_matched_run_that_goes_on_keeps_its_widths(tmp_path: Path) -> None:
    """Scaled once more, (24, 24) might become something else: at a budget of 20,000 any width from 24 to 24.7 does."""
    planned = execute(*compose_config(["model=mlp", "match.params=20000", "task=plan"]))
    assert planned is not None
    config = parse(Config, planned.config | {"task": "train"})
    replace(Result.of(config, None, "run"), status="done").write(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(plain(config)))
    with pytest.raises(ConfigError, match="is done; there is nothing left to train"):
        execute(*compose_config([f"resume={tmp_path}"]))
    with pytest.raises(ConfigError, match=r"match\.params: got 30000, but a run that goes on keeps its widths"):
        execute(*compose_config([f"resume={tmp_path}", "match.params=30000"]))


def test_a_record_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    for text in ("{", "[]", "null"):
        (tmp_path / "run" / "result.json").write_text(text)
        done = call(f"resume={tmp_path}/run")
        assert done.returncode == 2
        assert f"resume: {tmp_path}/run/result.json is damaged" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Interrupted(signal.SIGINT), 130, "stopped by SIGINT"),
        (Interrupted(signal.SIGTERM), 143, "stopped by SIGTERM"),
        (KeyboardInterrupt(), 130, "stopped by SIGINT"),
        (NonFiniteLoss("at step 3"), 1, "at step 3"),
        (ConfigError("seed", "no"), 2, "seed: no"),
    ],
)
def test_exit_codes(error: Exception, code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        guarded(fail)
    assert caught.value.code == code
    assert capsys.readouterr().err.strip() == message


def test_the_books_recipe(tmp_path: Path) -> None:
    """D2L 7.6.2: LeNet(lr=0.1), Trainer(max_epochs=10), FashionMNIST(batch_size=128), no normalisation, plain SGD."""
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    done = call("experiment=d2l_lenet", "--cfg", "job", PYTHONPATH=str(tmp_path))
    values = yaml.safe_load(done.stdout)
    model, data, optim = values["model"], values["data"], values["optim"]
    assert (model["activation"], model["pool"], model["norm"], model["channels"]) == (
        "sigmoid",
        "average",
        "none",
        [6, 16],
    )
    assert (model["init"], model["kernel_size"], model["padding"], model["hidden"]) == ("xavier", 5, [2, 0], [120, 84])
    assert (data["name"], data["batch_size"], data["normalise"], data["flip"]) == ("fashion_mnist", 128, "unit", False)
    assert (optim["name"], optim["lr"], optim["momentum"], optim["weight_decay"]) == ("sgd", 0.1, 0, 0)
    assert (optim["schedule"], optim["label_smoothing"], values["trainer"]["max_epochs"]) == ("constant", 0, 10)


def test_the_traceback_is_there_for_who_asks() -> None:
    done = call("model.kernel_size=17", HYDRA_FULL_ERROR="1")
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert "GeometryError" in done.stderr


def test_plan_needs_neither_torch_nor_data(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')")
    done = call("model=lenet", "task=plan", f"data.dir={tmp_path}/none", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    for trials in (("conv1", "6x28x28", "156", "117,600", "5"), ("total", "", "61,706", "416,520", "16")):
        assert re.search(r"\s*│\s*".join(map(re.escape, trials)), done.stdout), done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["torch.py"]


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ("model.hidden=[1000]", "1,000,001,000"),  # 10^6 x 1,000 weights and 1,000 biases
        ("model=ladder model.constraint=dense", "1,000,001,000,000"),
        ("model=ladder model.constraint=shared", "3,996,002"),  # (2 * 1000 - 1)^2 and a bias
        ("model=ladder model.half_width=2", "26"),  # (2 * 2 + 1)^2 and a bias
    ],
)
def test_the_megapixel_example(arguments: str, count: str) -> None:
    done = call("experiment=megapixel", *arguments.split())
    assert done.returncode == 0, done.stderr
    assert re.search(rf"hidden1? +│ +\S+ +│ +{count} ", done.stdout), done.stdout


def test_help_names_every_choice_and_key_it_promises() -> None:
    text = call("--help").stdout
    for family, architecture in ARCHITECTURES.items():
        listed = re.search(rf"^  model={family} +(.*(?:\n {{15,}}.*)*)", text, re.M)
        assert listed, family
        keys = [field.name for field in fields(architecture.config) if field.name != "family"]
        assert re.findall(r"\w+", listed[1]) == keys
    for group, config in GROUPS.items():
        assert re.search(rf"^  {group} +{fields(config)[0].name}, {fields(config)[1].name}, ", text, re.M)
    for group in ("model", "data", "optim", "trainer", "logger", "callbacks", "experiment"):
        for file in (ROOT / "conf" / group).glob("*.yaml"):
            assert re.search(rf"\b{re.escape(file.stem)}\b", text), f"{group}={file.stem} is not in --help"
    for key in ("kernel_size", "padding", "stride", "channels", "activation", "pool"):
        assert f"model.{key}" in text
    assert max(map(len, text.splitlines())) <= 120


def test_every_choice_composes_and_plans() -> None:
    choices = [
        f"{g}={f.stem}" for g in ("model", "optim", "experiment") for f in sorted((ROOT / "conf" / g).glob("*.yaml"))
    ]
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from hydra import compose, initialize_config_dir\n"
        "from fc2conv.compose import plan_of, register_schema, parse_composed\n"
        "register_schema()\n"
        f"with initialize_config_dir({str(ROOT / 'conf')!r}, version_base='1.3'):\n"
        "    for choice in sys.argv[1:]:\n"
        "        config = parse_composed(compose('config', overrides=[choice]))\n"
        "        print(choice, plan_of(config).params)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *choices], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines())
    assert counts["model=lenet"] == "61706"
    assert counts["model=lenet_modern"] == counts["model=lenet_allconv"] == counts["model=lenet_blur"] == "61728"
    assert len(counts) == len(choices)


def test_train_then_test_its_checkpoint(tmp_path: Path, data_dir: str) -> None:
    """As a user does it, W&B offline included."""
    small = ["data.train_size=500", "trainer.max_epochs=1", f"data.dir={data_dir}", f"runs_dir={tmp_path}", "name=a"]
    done = call("model=softmax", *small, WANDB_API_KEY="", NETRC=str(tmp_path / "none"))
    assert done.returncode == 0, done.stderr
    assert "epoch 1/1" in done.stdout
    assert "wandb sync" in done.stdout
    assert f"The run's folder: {tmp_path / 'a'}" in done.stdout
    planned = re.search(r"memory for training, estimated: (\d+) MiB", done.stdout)
    peak = Result.read(tmp_path / "a").peak_memory
    assert planned
    assert peak
    assert peak / 2 < int(planned[1]) * 2**20 < peak * 2
    accuracy = re.search(r"test +│ +(0\.\d{4})", done.stdout)
    assert accuracy
    # the checkpoint brings its own config; only the device is asked for here
    again = call("task=test", f"ckpt={tmp_path}/a/checkpoints/best.ckpt", "trainer=cpu")
    assert again.returncode == 0, again.stderr
    assert f"test accuracy {accuracy[1]}"[:20] in again.stdout
    resumed = call(f"resume={tmp_path}/a")
    assert resumed.returncode == 2
    assert "is done" in resumed.stderr
    for key, value, reason in (
        ("model", "mlp", "task=test takes the network from ckpt as it was trained"),
        ("model.init", "torch", "task=test takes the network from ckpt as it was trained"),
        ("optim.lr", "0.5", "task=test takes the network from ckpt as it was trained"),
        ("seed", "3", "task=test takes the network from ckpt as it was trained"),
        ("trainer.max_epochs", "3", "task=test takes the network from ckpt as it was trained"),
        ("data.flip", "true", "task=test augments no images"),
        ("name", "b", "task=test records nothing"),
        ("data.block", "4", "only data.permutation=block and block_order read it"),
    ):
        with pytest.raises(ConfigError, match=re.escape(f"{key}: got {value}, but {reason}; leave it out")):
            entry.execute(*compose_config(["task=test", f"ckpt={tmp_path}/a/checkpoints/best.ckpt", f"{key}={value}"]))
    changed = call(f"resume={tmp_path}/a", "optim.lr=0.5")
    assert changed.returncode == 2
    assert "was started with another optim" in changed.stderr
