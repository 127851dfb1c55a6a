"""Java artefacts: downloaded once, checked against ``jars.lock``, kept in the cache.

``jars.toml`` names what is wanted. ``python -m infra.jars`` resolves it with jgo and writes ``jars.lock``:
every file with its size and SHA-256 sum, and no address. At run time only the lock counts; jgo says where
the repositories are (its own configuration file can name others).
"""

from __future__ import annotations

import hashlib
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock

import httpx

from infra.locks import waiting_lock
from infra.progress import Progress, silent
from riftstream.errors import StackError
from riftstream.settings import get_settings

WANTED = Path(__file__).with_name("jars.toml")
LOCK = Path(__file__).with_name("jars.lock")

_ATTEMPTS = 7
_PARALLEL = 4
_CHUNK = 1 << 18
_TIMEOUT = httpx.Timeout(60.0, connect=20.0)


@dataclass(frozen=True)
class Artefact:
    """One locked file.

    Attributes:
        coordinate: ``group:artifact:version``, or that with ``:classifier:packaging``.
        sha256: SHA-256 sum of the file, hexadecimal.
        size: Size in bytes.
    """

    coordinate: str
    sha256: str
    size: int

    @property
    def path(self) -> str:
        """Path of the file below a Maven repository's root."""
        group, artifact, version, classifier, packaging = _fields(self.coordinate)
        suffix = f"-{classifier}" if classifier else ""
        folder = f"{group.replace('.', '/')}/{artifact}/{version}"
        return f"{folder}/{artifact}-{version}{suffix}.{packaging}"


def _fields(coordinate: str) -> tuple[str, str, str, str, str]:
    group, artifact, version, *rest = coordinate.split(":")
    classifier, packaging = rest if rest else ("", "jar")
    return group, artifact, version, classifier, packaging


def locked(name: str, lock: Path = LOCK) -> list[Artefact]:
    """The files of a set (a table of ``jars.toml``), in the order of the lock."""
    table = tomllib.loads(lock.read_text())[name]
    return [Artefact(coordinate, entry["sha256"], entry["size"]) for coordinate, entry in table.items()]


def version(name: str, artifact: str) -> str:
    """The locked version of one artifact of a set."""
    return next(c.split(":")[2] for c in (a.coordinate for a in locked(name)) if c.split(":")[1] == artifact)


def fetch(name: str, progress: Progress = silent, part: str = "", cancel: Event | None = None) -> list[Path]:
    """Have all files of a set in the cache and return their paths.

    What is there already is not downloaded again; a broken download goes on where it stopped.

    Raises:
        StackError: No repository answered, a file is not there, or its checksum differs.
    """
    root = get_settings().cache / "jars"
    artefacts = locked(name)
    called_off = cancel or Event()
    if not all(_present(root / a.path, a) for a in artefacts):
        with waiting_lock(root / f"{name}.lock", called_off):
            missing = [a for a in artefacts if not _present(root / a.path, a)]
            _download_all(root, missing, progress, part, called_off)
    return [root / a.path for a in artefacts]


def _present(file: Path, artefact: Artefact) -> bool:
    return file.is_file() and file.stat().st_size == artefact.size


def _download_all(
    root: Path, artefacts: list[Artefact], progress: Progress, part: str, cancel: Event
) -> None:
    total = sum(a.size for a in artefacts)
    done: dict[str, int] = {}
    guard = Lock()

    def report(artefact: Artefact, size: int) -> None:
        with guard:
            done[artefact.path] = size
            progress(part, "downloading", sum(done.values()), total)

    with (
        httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client,
        ThreadPoolExecutor(_PARALLEL) as pool,
    ):
        sources = repositories()
        tasks = [
            pool.submit(download, client, sources, a, root / a.path, partial(report, a), cancel)
            for a in artefacts
        ]
        try:
            for task in tasks:
                task.result()
        except StackError:
            pool.shutdown(cancel_futures=True)
            raise


def repositories() -> list[str]:
    """Roots of the Maven repositories that jgo knows, its configuration file included."""
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    return [*GlobalSettings.load().repositories.values(), *MavenContext().remote_repos.values()]


def download(
    client: httpx.Client,
    roots: list[str],
    artefact: Artefact,
    file: Path,
    report: Callable[[int], None],
    cancel: Event,
) -> None:
    """Download one artefact from the first repository that has it, and check it.

    Args:
        client: HTTP client.
        roots: Repository addresses, tried in order.
        artefact: What to download, with the checksum that it must have.
        file: Where it goes. Until it is whole and checked it is called ``NAME.part``.
        report: Called with the bytes that are there so far.
        cancel: Ends the download when set.

    Raises:
        StackError: It could not be had after several attempts, or its checksum differs.
    """
    part = file.with_name(file.name + ".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.is_file()
    failure: Exception | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            cancel.wait(min(2**attempt, 30))
        if cancel.is_set():
            raise StackError(
                f"The download of {artefact.coordinate} was stopped.", "It goes on where it stopped."
            )
        for root in roots:
            try:
                if not _stream(client, f"{root}/{artefact.path}", part, artefact.size, report, cancel):
                    continue
                _check(part, artefact)
                part.rename(file)
                return
            except httpx.HTTPError as error:
                failure = error
            except StackError as error:
                # An earlier run may have left the beginning of another file.
                if not resumed:
                    raise
                resumed, failure = False, error
        if failure is None:
            raise StackError(
                f"No repository has {artefact.coordinate}.", "Look at the versions in infra/jars.toml."
            )
    raise StackError(
        f"{artefact.coordinate} could not be downloaded: {failure}.",
        "Check the network and run the command again; it goes on where it stopped.",
    ) from failure


def _stream(
    client: httpx.Client, url: str, part: Path, size: int, report: Callable[[int], None], cancel: Event
) -> bool:
    """Fetch a file or what is missing of it. True when it is whole, False where it is not at this address.

    Raises:
        httpx.HTTPError: The connection broke, or the server could not answer just now.
    """
    have = part.stat().st_size if part.is_file() else 0
    if have >= size:
        return True
    headers = {"Range": f"bytes={have}-"} if have else {}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.NOT_FOUND:
            return False
        response.raise_for_status()
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            have = 0
        with part.open("ab" if have else "wb") as out:
            for chunk in response.iter_raw():
                out.write(chunk)
                have += len(chunk)
                report(have)
                if cancel.is_set():
                    raise httpx.ReadError("stopped")
    if have < size:
        raise httpx.ReadError(f"the connection ended after {have} of {size} bytes")
    return True


def _check(file: Path, artefact: Artefact) -> None:
    actual = sha256(file)
    if actual != artefact.sha256:
        file.unlink()
        raise StackError(
            f"The checksum of {artefact.coordinate} differs: {actual} was downloaded, "
            f"{artefact.sha256} is expected.",
            "The file was thrown away; run the command again, and if it stays so do not trust the source.",
        )


def sha256(file: Path) -> str:
    """SHA-256 sum of a file, hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def resolve(roots: list[str], transitive: bool) -> list[str]:
    """Coordinates of the roots and, where wanted, of all that they need at run time."""
    from jgo.maven import Dependency, MavenContext

    if not transitive:
        return list(roots)
    context = MavenContext(repo_cache=get_settings().cache / "poms", timeout=60)
    # raw: a root's own dependency management must not change the versions that another root asks for.
    wanted = [
        Dependency(context.project(group, artifact).at_version(version).artifact(), raw=True)
        for group, artifact, version, _, _ in map(_fields, roots)
    ]
    inputs, needed = context.resolver.resolve(wanted)
    found = {f"{d.groupId}:{d.artifactId}:{d.version}" for d in [*inputs, *needed]}
    return list(dict.fromkeys([*roots, *sorted(found)]))


def write_lock(wanted: Path = WANTED, lock: Path = LOCK) -> None:
    """Resolve ``jars.toml``, download what it names and write the lock."""
    root = get_settings().cache / "jars"
    lines = [
        "# Written by `python -m infra.jars`. Files of the local stack with their sums; no addresses.",
        "",
    ]
    with httpx.Client(timeout=_TIMEOUT, follow_redirects=True) as client:
        for name, entry in tomllib.loads(wanted.read_text()).items():
            lines.append(f"[{name}]")
            for coordinate in resolve(entry["roots"], entry.get("transitive", True)):
                file = root / Artefact(coordinate, "", 0).path
                _first_download(client, coordinate, file)
                lines.append(
                    f'"{coordinate}" = {{ sha256 = "{sha256(file)}", size = {file.stat().st_size} }}'
                )
            lines.append("")
    lock.write_text("\n".join(lines))


def _first_download(client: httpx.Client, coordinate: str, file: Path) -> None:
    """Download a file that the lock does not hold yet, checked against the repository's SHA-1 sum."""
    if file.is_file():
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    path = Artefact(coordinate, "", 0).path
    for root in repositories():
        expected = client.get(f"{root}/{path}.sha1")
        if expected.status_code == httpx.codes.NOT_FOUND:
            continue
        part = file.with_name(file.name + ".part")
        started = time.monotonic()
        with client.stream("GET", f"{root}/{path}") as response, part.open("wb") as out:
            response.raise_for_status()
            for chunk in response.iter_raw(_CHUNK):
                out.write(chunk)
        with part.open("rb") as stream:
            actual = hashlib.file_digest(stream, "sha1").hexdigest()
        if actual != expected.text.split()[0]:
            raise StackError(f"The checksum of {coordinate} differs from the repository's own.")
        part.rename(file)
        print(f"{coordinate} {file.stat().st_size / 1e6:.1f} MB in {time.monotonic() - started:.1f} s")
        return
    raise StackError(f"No repository has {coordinate}.", "Look at the versions in infra/jars.toml.")


if __name__ == "__main__":
    write_lock()
