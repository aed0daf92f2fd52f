"""pyproject.toml says all but this: conf/ and sweeps/ lie at the top, where they are read and edited; a wheel carries
them within the package, where api.conf() finds them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConf(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for name in ("conf", "sweeps"):
                shutil.copytree(name, Path(self.build_lib) / "fc2conv" / name, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConf})
