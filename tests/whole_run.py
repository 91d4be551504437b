"""A pytest plugin that looks back on a whole run, of one process or several.

Every answer to boto3 was checked as it came; here, that no action was left out. A run of a part proves nothing of it.
"""
import pathlib

import pytest

import contract

FILES = {path.name for path in pathlib.Path(__file__).parent.glob("test_*.py")}
# What the processes of a run have to tell: files of whose tests some ran, actions that have answered with success.
RUN, ANSWERED = pytest.StashKey(), pytest.StashKey()
MISSING = pytest.StashKey()


def pytest_configure(config):
    """Nothing is known yet."""
    config.stash[RUN], config.stash[ANSWERED], config.stash[MISSING] = set(), set(), set()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Takes what one of several processes tells at its end. One that crashed tells nothing, and is a failure itself."""
    told = getattr(node, "workeroutput", {})
    node.config.stash[RUN].update(told.get("run", ()))
    node.config.stash[ANSWERED].update(told.get("answered", ()))


def pytest_sessionfinish(session):
    """Tells the process that leads the run; there, fails a whole run that left an action out."""
    stash = session.config.stash
    stash[RUN].update(pathlib.Path(item.path).name for item in session.items)
    stash[ANSWERED].update(contract.SUCCEEDED)
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput |= {"run": sorted(stash[RUN]), "answered": sorted(stash[ANSWERED])}
    elif session.config.option.collectonly:
        return
    elif FILES <= stash[RUN] and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        stash[MISSING] = contract.without_answer(stash[ANSWERED])
        if stash[MISSING]:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    """Names what was left out."""
    missing = terminalreporter.config.stash[MISSING]
    if missing:
        terminalreporter.section("actions without an answer", red=True)
        terminalreporter.line("In the whole run, none of these has answered boto3 with success: " + ", ".join(sorted(missing)))
