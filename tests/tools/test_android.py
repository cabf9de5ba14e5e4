"""The Android app's Python side: its copied bundle, its APK check, and numbers that both languages state."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import numpy as np
import pytest

from export.golden import GOLDEN_FILES
from pocketmood import audio, bundle, emotion
from pocketmood.errors import BundleError
from pocketmood.spec import MelSpec
from tests.helpers import ROOT
from tools import android_apk, android_bundle, android_reference

ANDROID = ROOT / "android"
SOURCES = ANDROID / "app" / "src" / "main" / "kotlin" / "org" / "pocketmood"
KOTLIN = sorted([*ANDROID.glob("app/src/**/*.kt"), *ANDROID.glob("tests/**/*.kt")])


def make_bundle(folder: Path, verdicts: dict[str, str] | None = None) -> Path:
    """Write a bundle as `export` does, with programs that nobody can run."""
    verdicts = verdicts or {"model.int8.pte": "passed", "model.fp32.pte": "passed"}
    (folder / "golden").mkdir(parents=True)
    for name, size in (("model.int8.pte", 10), ("model.fp32.pte", 20), *((name, 8) for name in GOLDEN_FILES)):
        (folder / name).write_bytes(bytes(size))
    records = [{"artefact": name, "verdict": verdict} for name, verdict in verdicts.items()]
    (folder / "parity.json").write_text(json.dumps(records))
    (folder / "model.fp32.onnx").write_bytes(b"not for phones")
    spec = MelSpec()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    about = {
        "schema": bundle.SCHEMA,
        "spec": spec.to_dict(),
        "spec_hash": spec.hash,
        "input": {"shape": [1, spec.samples]},
        "files": {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()},
    }
    (folder / "bundle.json").write_text(json.dumps(about))
    return folder


def change(folder: Path, **values: object) -> None:
    path = folder / "bundle.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_copy_holds_one_program_its_proof_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "assets" / "bundle"
    (target / "old").mkdir(parents=True)
    assert android_bundle.main([str(make_bundle(tmp_path / "made")), "--to", str(target)]) == 0
    copied = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert copied == sorted(["bundle.json", "parity.json", "model.int8.pte", *GOLDEN_FILES])


def test_a_precision_can_be_asked_for(tmp_path: Path) -> None:
    assert "model.fp32.pte" in android_bundle.copy(make_bundle(tmp_path / "made"), tmp_path / "to", "fp32")


def test_what_failed_its_gate_is_not_copied(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "made", {"model.int8.pte": "failed", "model.fp32.pte": "passed"})
    assert "model.fp32.pte" in android_bundle.copy(made, tmp_path / "to")
    with pytest.raises(BundleError, match=r"model\.int8\.pte did not pass"):
        android_bundle.copy(made, tmp_path / "other", "int8")
    assert not (tmp_path / "other").exists()


def test_changed_bytes_are_refused_and_the_copy_before_stays(tmp_path: Path) -> None:
    made, target = make_bundle(tmp_path / "made"), tmp_path / "to"
    android_bundle.copy(made, target)
    (made / "golden" / "emotion.f32").write_bytes(b"other!!!")
    with pytest.raises(BundleError, match=r"emotion\.f32: its SHA-256 is not"):
        android_bundle.copy(made, target)
    assert (target / "model.int8.pte").is_file()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "made")
    change(made, schema=1)
    with pytest.raises(BundleError, match="bundle of schema 1"):
        android_bundle.copy(made, tmp_path / "to")


def test_a_bundle_without_golden_pairs_is_refused(tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "made")
    files = json.loads((made / "bundle.json").read_text())["files"]
    change(made, files={name: digest for name, digest in files.items() if "interval68" not in name})
    with pytest.raises(BundleError, match=r"lists no golden/interval68\.f32"):
        android_bundle.copy(made, tmp_path / "to")


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle here"):
        android_bundle.copy(tmp_path, tmp_path / "to")


# -- the APK check


def elf(alignment: int) -> bytes:
    """A 64-bit ELF file with one loaded segment and one that is not."""
    header = struct.pack("<4sBB10x HHIQQQIHHHHHH", b"\x7fELF", 2, 1, 3, 183, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    loaded = struct.pack("<IIQQQQQQ", 1, 5, 0, 0, 0, 0, 0, alignment)
    return header + loaded + struct.pack("<IIQQQQQQ", 4, 4, 0, 0, 0, 0, 0, 4)


def apk(path: Path, more: dict[str, bytes] | None = None) -> zipfile.ZipFile:
    """Write what a sound APK holds, and more."""
    names = dict.fromkeys(android_apk.GOLDEN, b"x") | {
        "assets/bundle/bundle.json": b"{}",
        "assets/bundle/parity.json": b"[]",
        "assets/bundle/model.int8.pte": b"program",
        "classes.dex": b"org/pocketmood/App",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in (names | (more or {})).items():
            archive.writestr(name, data)
    return zipfile.ZipFile(path)


def test_a_sound_apk_has_no_faults(tmp_path: Path) -> None:
    with apk(tmp_path / "a.apk") as archive:
        for faults in (android_apk.wrong_assets, android_apk.wrong_dex, android_apk.wrong_libraries):
            assert faults(archive) == []


def test_a_second_program_and_a_missing_golden_pair_are_named(tmp_path: Path) -> None:
    with apk(tmp_path / "a.apk", {"assets/bundle/model.fp32.pte": b"x"}) as archive:
        assert "holds 2 programs" in android_apk.wrong_assets(archive)[0]
    with zipfile.ZipFile(tmp_path / "empty.apk", "w"):
        pass
    with zipfile.ZipFile(tmp_path / "empty.apk") as archive:
        assert len(android_apk.wrong_assets(archive)) == 6
        assert android_apk.wrong_dex(archive) == ["holds no classes.dex"]


def test_test_code_in_the_dex_is_named(tmp_path: Path) -> None:
    with apk(tmp_path / "a.apk", {"classes2.dex": b"..org/pocketmood/FakeModel.."}) as archive:
        assert android_apk.wrong_dex(archive) == ["classes2.dex holds FakeModel"]


def test_permissions_beyond_the_microphone_are_named() -> None:
    dump = "package: org.pocketmood\nuses-permission: name='android.permission.RECORD_AUDIO'\n"
    assert android_apk.wrong_permissions(dump) == []
    internet = dump + "uses-permission: name='android.permission.INTERNET'\n"
    assert android_apk.wrong_permissions(internet) == [
        "asks for android.permission.INTERNET; sound must not leave the device"
    ]
    assert android_apk.wrong_permissions("") == ["does not ask for android.permission.RECORD_AUDIO"]


def test_the_command_names_every_fault(tmp_path: Path) -> None:
    apk(tmp_path / "a.apk", {"assets/bundle/model.fp32.pte": b"x"}).close()
    aapt2 = tmp_path / "aapt2"
    aapt2.write_text("#!/bin/sh\necho \"uses-permission: name='android.permission.INTERNET'\"\n")
    aapt2.chmod(0o755)
    with pytest.raises(android_apk.ApkError) as raised:
        android_apk.main([str(tmp_path / "a.apk"), "--aapt2", str(aapt2)])
    faults = [line.split(": ", 1)[1].split(" (")[0] for line in str(raised.value).splitlines()]
    assert faults == [
        "asks for android.permission.INTERNET; sound must not leave the device",
        "does not ask for android.permission.RECORD_AUDIO",
        "holds 2 programs",
    ]


def test_libraries_must_be_aligned_to_16_kilobytes(tmp_path: Path) -> None:
    assert android_apk.segment_alignments(elf(16384)) == [16384]
    with apk(tmp_path / "small.apk", {"lib/arm64-v8a/lib.so": elf(4096)}) as archive:
        faults = android_apk.wrong_libraries(archive)
        assert [fault.split(": ")[1] for fault in faults] == [
            "segments aligned to 4096 bytes, not to 16384",
            "starts at no multiple of 16384 in the APK; use zipalign -P 16",
        ]


def test_an_aligned_library_passes(tmp_path: Path) -> None:
    path = tmp_path / "aligned.apk"
    name = "lib/arm64-v8a/lib.so"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pad", bytes(android_apk.PAGE - (30 + len("pad")) - (30 + len(name))))
        archive.writestr(name, elf(16384))
    with zipfile.ZipFile(path) as archive:
        assert android_apk.wrong_libraries(archive) == []


# -- numbers that two languages state


def test_the_app_pins_the_exporters_version() -> None:
    catalogue = (ANDROID / "gradle" / "libs.versions.toml").read_text()
    locked = re.search(r"^executorch==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    pinned = re.search(r'^executorch = "(.+)"', catalogue, re.MULTILINE)
    assert locked and pinned and pinned[1] == locked[1]
    assert 'version.ref = "executorch"' in catalogue


def test_both_builds_speak_of_the_same_android() -> None:
    catalogue = (ANDROID / "gradle" / "libs.versions.toml").read_text()
    pom = (ANDROID / "pom.xml").read_text()
    for catalogued, built in (("minSdk", "min.sdk"), ("targetSdk", "target.sdk")):
        version = re.search(rf'^{catalogued} = "(\d+)"', catalogue, re.MULTILINE)
        assert version and f"<{built}>{version[1]}</{built}>" in pom


def test_schema_and_limits_are_those_of_python() -> None:
    assert f"const val SCHEMA = {bundle.SCHEMA}\n" in (SOURCES / "model" / "EmotionModel.kt").read_text()
    music = (SOURCES / "audio" / "MusicFile.kt").read_text()
    assert audio.LONGEST_S == 4 * 3600 and "const val LONGEST_S = 4 * 3600.0\n" in music
    assert f"const val SHORTEST_S = {audio.SHORTEST_S}\n" in music
    radius = f"{emotion.NEUTRAL_RADIUS}f"
    assert f"NEUTRAL_RADIUS = {radius}\n" in (SOURCES / "model" / "Emotion.kt").read_text()


def test_the_app_reads_tolerance_and_golden_pairs_by_their_names() -> None:
    kotlin = (SOURCES / "bundle" / "Bundle.kt").read_text()
    golden = ", ".join(f'"{name}"' for name in GOLDEN_FILES)
    assert f"val GOLDEN = listOf({golden})\n" in kotlin
    assert 'getDouble("tolerance")' in kotlin
    assert "limit" not in kotlin and "fp32_max_error" not in kotlin  # what the tolerance is made from


def test_moods_and_quadrants_are_those_of_python() -> None:
    words = " ".join([*emotion._WORDS, "neutral"])
    corners = [emotion.quadrant(emotion.Emotion(*at)) for at in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
    labels = (ANDROID / "tests/kotlin/org/pocketmood/ui/LabelsTest.kt").read_text()
    assert f'"{words}"' in labels
    assert f'"{" ".join(corners)}"' in labels


def test_every_text_is_german_too() -> None:
    def texts(folder: str) -> dict[str, str]:
        tree = ElementTree.parse(ANDROID / "app/src/main/res" / folder / "strings.xml")
        return {
            entry.get("name", ""): entry.text or ""
            for entry in tree.getroot()
            if entry.get("translatable", "true") == "true"
        }

    english, german = texts("values"), texts("values-de")
    assert english.keys() == german.keys()
    for name, text in english.items():
        marks = [sorted(re.findall(r"%\d\$[^a-z]*[a-z]", words)) for words in (text, german[name])]
        assert marks[0] == marks[1], name


def test_the_sources_name_no_host_and_stay_short() -> None:
    assert len(KOTLIN) > 40
    lines = {path.name: path.read_text().splitlines() for path in KOTLIN}
    assert {name: len(text) for name, text in lines.items() if len(text) > 250} == {}
    assert [f"{name}: {line}" for name, text in lines.items() for line in text if len(line) > 140] == []
    hosts = [line for text in lines.values() for line in text if "://" in line.replace("content://", "")]
    assert hosts == []


def test_renamed_words_stay_gone() -> None:
    gone = (
        r"\b(Workshop|SoundListener|Sentence|[sS]pread\w*)\b|\b(Listener|Words|Sentences)(\.kt|\()|[aA]nswer|[aA]ntwort"
    )
    gone += r"|\b(class|interface|object) (Listener|Words|Sentences)\b"
    pages = [*KOTLIN, ANDROID / "README.md", *ANDROID.glob("app/src/main/res/values*/strings.xml")]
    pages += ANDROID.glob("tests/native/*.cpp")
    found = [f"{path.name}: {word.group()}" for path in pages for word in re.finditer(gone, path.read_text())]
    assert found == []


def test_a_sweep_climbs_evenly() -> None:
    sweep = android_reference._sweep(2.0, 100.0, 1000.0)
    rising = np.flatnonzero((sweep[:-1] < 0) & (sweep[1:] >= 0))
    # Mean frequency 550 Hz over two seconds: 1100 periods; the first second has 100 + 450 / 2 = 325 of them.
    assert abs(len(rising) - 1100) <= 1
    assert abs(int((rising < android_reference.MICROPHONE).sum()) - 325) <= 1
    assert np.abs(sweep).max() == pytest.approx(0.5, abs=1e-4, rel=0)


def test_tools_are_named_when_they_are_missing(tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "paste", "sed"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    command = [tmp_path / "bash", ROOT / "tools" / "android.sh", "test"]
    ran = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert (
        "skipped: the JVM suite of the Android app, for want of javac mvn npm g++ aapt2 zipalign apksigner"
        in ran.stdout
    )
    assert "apt-get install openjdk-17-jdk-headless maven npm g++ aapt zipalign apksigner zip)" in ran.stdout
