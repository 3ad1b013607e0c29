"""Makes a virtual environment with the pyzmq of tests/python/requirements.txt, unless it is there: install.py DIRECTORY"""

import fcntl
import pathlib
import shutil
import subprocess
import sys
import venv

directory = pathlib.Path(sys.argv[1])
requirements = pathlib.Path(__file__).resolve().parents[3] / "python" / "requirements.txt"
done = directory / "requirements.done"

directory.parent.mkdir(parents=True, exist_ok=True)
with open(f"{directory}.lock", "w") as lock:
    # Two peers use it, and both are installed at the same time; so do the tests and the examples (examples/support/pyzmq.rs).
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not done.exists() or done.read_text() != requirements.read_text():
        shutil.rmtree(directory, ignore_errors=True)
        venv.create(directory, with_pip=True)
        pip = [directory / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "--requirement", requirements], check=True)
        done.write_text(requirements.read_text())
