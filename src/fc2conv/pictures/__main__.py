"""`python -m fc2conv.pictures`: draws the pictures of the runs whose folders come on its standard input, each on a line
as JSON. What it cannot draw it says on its standard output, a line a run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from fc2conv.pictures.folder import draw
from fc2conv.record.result import Result

END = ""


def main() -> None:
    lines: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(END)

    Thread(target=read, daemon=True).start()  # so that whoever writes need not wait
    for line in iter(lines.get, END):
        folder = Path(json.loads(line))
        try:
            draw(folder, Result.read(folder), again=False)
        except Exception as error:  # a full disk, a folder that is gone: nothing depends on pictures
            print(" ".join(f"{type(error).__name__}: {error}".split()), flush=True)


if __name__ == "__main__":
    main()
