"""What tests/e2e, the tests of the whole program, add to pytest: the user they run as, skips that fail, parts of tests, the numbers.

    pytest tests/e2e/cli [-k PATTERN]            as the present user
    pytest --as plain tests/e2e/cli              as root: as the plain user agent-run-test
    AGENT_RUN_MUST_WORK=1 pytest …               a skip is a failure

Environment: AGENT_RUN_BUILD names the build directory, see tests/lib/harness.py. The summary has a line
"N passed, N failed, N skipped", which scripts/test reads.
"""

import os
import pathlib
import pwd
import shutil
import sys
import traceback

import pytest
from _pytest.unittest import TestCaseFunction

sys.dont_write_bytecode = True
LIB = pathlib.Path(__file__).resolve().parent / "lib"
sys.path.insert(0, str(LIB))
PLAIN_USER = "agent-run-test"


def pytest_addoption(parser):
    parser.addoption("--as", dest="user", choices=("self", "plain"), default="self",
                     help="run the tests as the present user (self), or, started by root, as a plain one")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    """With --as plain the whole of pytest starts again, as that user."""
    if config.getoption("user") != "plain" or pwd.getpwuid(os.geteuid()).pw_name == PLAIN_USER:
        return
    if os.geteuid() != 0:
        raise pytest.UsageError("--as plain: only root can become another user — leave it out, the tests run as you")
    words = [str(LIB / "as_plain"), "/usr/bin/python3", "-m", "pytest", *config.invocation_params.args]
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.suspend_global_capture(in_=True)
    if config.option.xmlpath:  # the plain user could not make it
        file = pathlib.Path(config.option.xmlpath)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        shutil.chown(file, PLAIN_USER, PLAIN_USER)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(words[0], words)


def pytest_sessionstart(session):
    if session.config.getoption("collectonly"):
        return
    from harness import AGENT_RUN, PROBES
    missing = [str(path) for path in (AGENT_RUN, PROBES / "probe-calls") if not os.access(path, os.X_OK)]
    if missing:
        name = pwd.getpwuid(os.geteuid()).pw_name
        raise pytest.UsageError(f"not there, or {name} cannot execute it: {', '.join(missing)} — ninja -C build")


def pytest_report_header():
    from harness import BUILD
    return f"user: {pwd.getpwuid(os.geteuid()).pw_name}, build: {BUILD}"


# ---- skips --------------------------------------------------------------------------------------------------------------


def fail_instead(report):
    """Where everything must work, a skip is a failure."""
    if report.skipped and os.environ.get("AGENT_RUN_MUST_WORK") == "1":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome, report.longrepr = "failed", f"skipped, but must work: {reason}"


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_makereport():
    made = yield
    fail_instead(made.get_result())


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_make_collect_report():
    made = yield
    fail_instead(made.get_result())


# ---- parts --------------------------------------------------------------------------------------------------------------


def add_subtest(item, _, part, error):
    """A failed part (unittest's subTest) fails its test, and the parts after it run all the same: each is in the report."""
    if error is None:
        return
    if not item._excinfo:
        item._addexcinfo(error)
    text = "".join(traceback.format_exception_only(error[0], error[1]))
    item.add_report_section("call", "failed part", f"{part._subDescription()}: {text}")


# pytest asks for it, and without it ends a test at its first failed part.
TestCaseFunction.addSubTest, TestCaseFunction.failfast = add_subtest, False


# ---- numbers ------------------------------------------------------------------------------------------------------------


def pytest_terminal_summary(terminalreporter):
    passed, failed, errors, skipped = (len(terminalreporter.stats.get(word, ())) for word in ("passed", "failed", "error", "skipped"))
    terminalreporter.write_line(f"{passed} passed, {failed + errors} failed, {skipped} skipped")
