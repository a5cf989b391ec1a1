"""Make the peers' virtual environments: `python -m benchmarks.peers.install --venvs DIR [NAME ...]`.

Each gets its pinned release, and what that release needs but does not declare (found by running it).
None gets torch: data-juicer would install it by itself at run time, which `ENVIRONMENT` forbids.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Final, NamedTuple


class Peer(NamedTuple):
    """A release and what it lacks: `package` is pinned, `missing` are undeclared or wrongly bounded imports."""

    package: str
    missing: tuple[str, ...]


PEERS: Final = {
    # regex, spacy, tokenizers, nltk, tldextract: imported, not declared outside of large extras.
    # xxhash: release 4 no longer hashes str, and `[io]` does not bound it.
    "datatrove": Peer(
        "datatrove[io]==0.10.1", ("regex", "spacy==3.8.*", "nltk", "tokenizers", "tldextract", "xxhash<4")
    ),
    # aiohttp: imported by its first command; ray, scipy: installed by itself at run time otherwise.
    "datajuicer": Peer("py-data-juicer==1.6.1", ("aiohttp", "ray", "scipy")),
    "textdedup": Peer("text-dedup==0.4.0", ()),
    "datasketch": Peer("datasketch==2.0.0", ("xxhash",)),
}

ENVIRONMENT: Final = {
    # No model, data set or package is fetched while a benchmark runs.
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PIP_NO_INDEX": "1",
    "UV_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TQDM_DISABLE": "1",
}


def interpreter(venvs: Path, name: str) -> Path:
    """The Python of a peer's environment below `venvs`, whether it exists or not."""
    return venvs / name / "bin" / "python"


def install(venvs: Path, name: str) -> None:
    """Make one peer's environment from nothing, beside it `<name>.freeze.txt` with every version.

    Raises subprocess.CalledProcessError where pip fails, RuntimeError where torch was pulled in.
    """
    peer = PEERS[name]
    venv.create(venvs / name, with_pip=True, clear=True)
    pip = [str(interpreter(venvs, name)), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", peer.package, *peer.missing], check=True)
    frozen = subprocess.run([*pip, "freeze"], check=True, capture_output=True, text=True).stdout
    (venvs / f"{name}.freeze.txt").write_text(frozen, encoding="utf-8")
    if any(line.startswith("torch==") for line in frozen.splitlines()):
        raise RuntimeError(f"{venvs / name}: pip pulled in torch, which these benchmarks do not allow")


def versions(venvs: Path, name: str) -> dict[str, str]:
    """The versions of a peer and of the libraries that decide its speed, from its freeze file; empty where none."""
    path = venvs / f"{name}.freeze.txt"
    if not path.exists():
        return {}
    pairs = (line.partition("==") for line in path.read_text(encoding="utf-8").splitlines())
    wanted = {"datatrove", "py-data-juicer", "text-dedup", "datasketch", "numpy", "spacy", "xxhash", "datasets"}
    return {package: version for package, _, version in pairs if package in wanted}


def main() -> None:
    """Install the peers named on the command line, all where none is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(PEERS), metavar="NAME", help=", ".join(PEERS))
    parser.add_argument("--venvs", type=Path, required=True, help="cache folder for the environments")
    options = parser.parse_args()
    options.venvs.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        began = time.monotonic()
        try:
            install(options.venvs, name)
        except (subprocess.CalledProcessError, RuntimeError) as fault:
            sys.stderr.write(f"{name}: {fault}\n")
            continue
        sys.stderr.write(f"{name}: installed in {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
