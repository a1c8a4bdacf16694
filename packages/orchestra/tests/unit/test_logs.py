import logging
import sys

import pytest

from orchestra.sdk._logs import Capture, LogSpool, SpoolHandler, read_tail


def test_the_tail_is_kept_and_the_rest_is_counted():
    spool = LogSpool(1_000)
    for n in range(1_000):
        spool.write(b"line %03d\n" % n)
    text = spool.text()
    first, *lines = text.splitlines()
    assert lines[-1] == "line 999"
    assert len(text) < 1_100
    left_out = int(first.split()[1].replace(",", ""))
    assert left_out + sum(len(line) + 1 for line in lines) == 9_000
    assert spool.take() == text
    assert spool.text() == ""
    spool.write(b"y" * 5_000)
    assert spool.text().startswith("[... 4,000 bytes before this were left out]\n")
    spool.close()
    spool.write(b"after the end")
    assert spool.text() == spool.take() == ""


def test_any_encoding_is_readable(tmp_path):
    path = tmp_path / "log"
    path.write_bytes("grün\n".encode("latin-1") + "日本\n".encode() + b"\x00\xff\n")
    assert read_tail(path) == "gr\ufffdn\n日本\n\x00\ufffd\n"


@pytest.mark.parametrize("start", [0, 5, 100])
def test_a_tail_begins_at_a_line_and_after_earlier_runs(tmp_path, start):
    path = tmp_path / "log"
    path.write_bytes(b"old\n1" + b"0123456789\n" * 20)
    text = read_tail(path, start=start, bytes_max=50)
    assert text.splitlines()[1:] == ["0123456789"] * 4
    size = path.stat().st_size
    assert f"{size - start - 44:,} bytes" in text.splitlines()[0]


def test_a_file_that_was_begun_anew_is_read_from_its_start(tmp_path):
    path = tmp_path / "log"
    path.write_text("new\n")
    assert read_tail(path, start=10_000) == "new\n"


def test_output_and_logging_are_captured_and_passed_on(capsys):
    capture = Capture(log_file=None, output=True)
    stdout = sys.stdout
    print("to stdout")  # noqa: T201  what the user\'s code does
    print("to stderr é", file=sys.stderr)  # noqa: T201  what the user\'s code does
    logging.getLogger("job").warning("a record %s", 5)
    assert stdout.writable()
    assert stdout.isatty() is False
    assert stdout.encoding
    stdout.flush()
    ((name, text),) = capture.finish()
    assert name == "output.log"
    assert "to stdout\nto stderr é\n" in text
    assert text.endswith("WARNING job: a record 5\n")
    print("after")  # noqa: T201  what the user\'s code does
    assert "after" not in text
    seen = capsys.readouterr()
    assert seen.out == "to stdout\nafter\n"
    assert capture.finish() == []


def test_a_stream_that_was_replaced_meanwhile_stays(monkeypatch, capsys):
    capture = Capture(log_file=None, output=True)
    mine = object()
    monkeypatch.setattr(sys, "stdout", mine)
    capture.finish()
    assert sys.stdout is mine


def test_a_program_without_a_console_can_be_captured(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    capture = Capture(log_file=None, output=True)
    assert sys.stdout is None
    capture.finish()


def test_a_missing_log_file_is_a_warning(tmp_path, caplog):
    capture = Capture(log_file=str(tmp_path / "nope"), output=False)
    assert capture.finish() == []
    assert "cannot be read (No such file or directory)" in caplog.text


def test_handlers_are_flushed_before_the_file_is_read(tmp_path):
    path = tmp_path / "log"
    from logging.handlers import MemoryHandler

    target = logging.FileHandler(path)
    handler = MemoryHandler(1_000, target=target)
    log = logging.getLogger("flushed")
    log.addHandler(handler)
    capture = Capture(log_file=str(path), output=False)
    log.warning("still in memory")
    assert capture.finish() == [(str(path), "still in memory\n")]
    log.removeHandler(handler)
    handler.close()
    target.close()


def test_a_record_that_cannot_be_formatted_is_loggings_affair(capsys):
    spool = LogSpool()
    handler = SpoolHandler(spool)
    handler.handle(logging.LogRecord("n", logging.INFO, "f", 1, "%d", ("x",), None))
    assert "Logging error" in capsys.readouterr().err
    assert spool.text() == ""
    spool.close()
