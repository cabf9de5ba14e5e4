"""Stands for `adb`: `python fake_adb.py FOLDER WORD...` keeps a phone in FOLDER and notes every call in its calls.txt.

Pushed files go to FOLDER/phone. The runner's line is handed to FOLDER/runner.json, a list: the command that runs it,
with the phone's folder as working directory; without that file, FOLDER/printed.txt is what the runner prints.
"""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

PROPERTIES = {"ro.product.model": "Model T", "ro.product.cpu.abi": "arm64-v8a"}


def shell(folder: Path, line: str) -> int:
    """Do what a device's shell would."""
    phone, words = folder / "phone", shlex.split(line)
    if words[0] == "getprop":
        print(PROPERTIES[words[1]])
    elif words[0] == "rm":
        shutil.rmtree(phone, ignore_errors=True)
        if "mkdir" in words:
            phone.mkdir()
    elif words[0] == "cd":
        runner = folder / "runner.json"
        if not runner.exists():
            print((folder / "printed.txt").read_text())
            return int((folder / "exit.txt").read_text()) if (folder / "exit.txt").exists() else 0
        program = words[words.index("&&") + 2 :]  # behind LD_LIBRARY_PATH=.
        return subprocess.run([*json.loads(runner.read_text()), *program[0:]], cwd=phone, check=False).returncode
    return 0


def main(folder: Path, words: list[str]) -> int:
    """Answer one call."""
    with (folder / "calls.txt").open("a") as file:
        file.write(json.dumps(words) + "\n")
    if words[0] == "-s":
        words = words[2:]
    if words[0] == "get-state":
        print((folder / "state.txt").read_text() if (folder / "state.txt").exists() else "device")
    elif words[0] == "push":
        shutil.copy(words[1], folder / "phone" / Path(words[2]).name)
    elif words[0] == "shell":
        return shell(folder, words[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
