"""Shows a run as its numbered phases: what each did, how long it took, and failures as sentences."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible import constants as C
from ansible.playbook.block import Block
from ansible.plugins.callback.default import CallbackModule as DefaultCallback
from ansible.utils.vars import load_extra_vars

DOCUMENTATION = """
name: erni
type: stdout
short_description: Numbered phases, what they changed, and failures as sentences
description:
  - Each play is a phase, shown as C([3/12] name) with C(ok), C(changed) or C(failed) and its duration.
  - Under it stand the sentences that modules return in C(actions), or the names of tasks that changed something.
  - A failure shows C(msg) and C(findings) (a list of what, why, remedy, severity), never a traceback.
  - C(erni_report), returned by any task or set as a fact, is printed at the very end.
    With the extra variable C(erni_format=json) it is all that goes to standard output.
  - How far long work has come is shown while it runs; in a terminal on one line that is rewritten and goes with the
    work, elsewhere on a line every ten seconds.
  - From verbosity 1 on it prints what the default callback prints, with numbered plays.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
requirements:
  - set as C(stdout_callback) in ansible.cfg
"""

TABLE_FROM_PLAYS = 4
OUTPUT_TAIL_LINES = 10
PROGRESS_SECONDS = 10  # between two lines about the same work, where no terminal shows them
ERASED_LINE = "\r\x1b[K"
INDENT = " " * 6
OUTCOME_COLORS = {"ok": C.COLOR_OK, "changed": C.COLOR_CHANGED, "failed": C.COLOR_ERROR}

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """Something to show under a phase."""

    host: str
    text: str
    color: str | None = None
    raw: bool = False


@dataclass
class Phase:
    """A play while it runs. Its lines wait until it ends, so that its name and its outcome share a line."""

    number: int
    title: str
    begin: float = field(default_factory=time.monotonic)
    seconds: float = 0.0
    hosts: set[str] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)
    changed: bool = False
    failed: bool = False
    named: bool = False
    line_open: bool = False

    @property
    def outcome(self) -> str:
        return "failed" if self.failed else "changed" if self.changed else "ok"


def never_raises(method: Callable[..., None]) -> Callable[..., None]:
    """A mistake in showing a run must not fail the run."""

    @functools.wraps(method)
    def guarded(self: CallbackModule, *arguments: Any, **named: Any) -> None:
        try:
            method(self, *arguments, **named)
        except Exception as error:  # noqa: BLE001 (see above)
            self._display.warning(f"{method.__name__} could not show a step: {type(error).__name__}: {error}")

    return guarded


def only_when_verbose(name: str) -> Callable[..., None]:
    """The default callback's method, silent at verbosity 0."""
    shown = getattr(DefaultCallback, name)

    @functools.wraps(shown)
    def method(self: CallbackModule, *arguments: Any, **named: Any) -> None:
        if self._verbose:
            shown(self, *arguments, **named)

    return never_raises(method)


class CallbackModule(DefaultCallback):  # type: ignore[misc]
    """The events, in the order in which a run meets them."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "erni"

    def __init__(self) -> None:
        super().__init__()
        self._numbers: dict[str, int] = {}
        self._phase: Phase | None = None
        self._ended: list[Phase] = []
        # Insertion-ordered sets: what several hosts or tasks say alike is shown once.
        self._warnings: dict[str, None] = {}
        self._reports: dict[str, None] = {}
        self._report_descriptor: int | None = None
        # By host: what its work says in a terminal, and how many times ten seconds it lasts elsewhere.
        self._at_work: dict[str, str] = {}
        self._lasting: dict[str, int] = {}
        self._row_open = False

    @property
    def _verbose(self) -> bool:
        return bool(self._display.verbosity)

    @never_raises
    def v2_playbook_on_start(self, playbook: Any) -> None:
        self._numbers = {play._uuid: number for number, play in enumerate(playbook.get_plays(), 1)}
        if load_extra_vars(playbook._loader).get("erni_format") == "json":
            self._keep_standard_output_for_the_report()
        if self._verbose:
            super().v2_playbook_on_start(playbook)

    def _keep_standard_output_for_the_report(self) -> None:
        # At the level of the descriptor, so that nothing that Ansible or a plugin prints gets between.
        sys.stdout.flush()
        self._report_descriptor = os.dup(1)
        os.dup2(2, 1)

    @never_raises
    def v2_playbook_on_play_start(self, play: Any) -> None:
        number = self._numbers.get(play._uuid, 0)
        if self._phase is None or self._phase.number != number:  # equal: the next batch of a serial play
            self._end_phase()
            self._phase = Phase(number, f"[{number}/{len(self._numbers)}] {play.get_name().strip()}")
        if self._verbose:
            self._play = play
            self._display.banner(f"PLAY {self._phase.title}")

    @never_raises
    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._phase = None
        if self._verbose:
            super().v2_playbook_on_no_hosts_matched()

    @never_raises
    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        if self._verbose:
            super().v2_playbook_on_task_start(task, is_conditional)
        else:
            self._name_phase()

    @never_raises
    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        if self._verbose:
            super().v2_playbook_on_handler_task_start(task)
        else:
            self._name_phase()

    @never_raises
    def v2_on_file_diff(self, result: Any) -> None:
        if self._verbose:
            super().v2_on_file_diff(result)
            return
        for item in items_of(result):
            text = self._get_diff(item["diff"]) if item.get("changed") and item.get("diff") else ""
            if text:
                self._add(result, f"{result.task_name}:\n{text.rstrip()}", raw=True)

    @never_raises
    def v2_runner_on_ok(self, result: Any) -> None:
        self._remember(result)
        if self._verbose:
            super().v2_runner_on_ok(result)
            return
        actions = [action for item in items_of(result) for action in sentences(item.get("actions"))]
        if result.is_changed():
            actions = actions or [result.task_name]
            if self._phase:
                self._phase.changed = True
        prefix = "would: " if result.task.check_mode is True else ""
        for action in actions:
            self._add(result, prefix + action)
        for line in finding_lines(result):
            self._add(result, line, C.COLOR_WARN)

    @never_raises
    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._remember(result)
        if self._phase and not (ignore_errors or is_rescued(result.task)):
            self._phase.failed = True
        if self._verbose:
            super().v2_runner_on_failed(result, ignore_errors)
        elif not (ignore_errors or is_rescued(result.task)):
            self._show_failure(f"failed on {result.host.get_name()}: {result.task_name}", failure_lines(result))

    @never_raises
    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._remember(result)
        if self._phase:
            self._phase.failed = True
        if self._verbose:
            super().v2_runner_on_unreachable(result)
            return
        host = result.host.get_name()
        remedy = "Check its address, user and key in the inventory, and that ssh reaches it from here."
        lines = [*message_lines(result.result), remedy]
        self._show_failure(f"{host} cannot be reached (while: {result.task_name})", lines)

    @never_raises
    def v2_runner_on_async_poll(self, result: Any) -> None:
        """Also of work that tells its progress (plugins/action/with_progress.py)."""
        told = result.result.get("erni_progress")
        if isinstance(told, Mapping):
            self._show_progress(result.host.get_name(), told)
        elif self._verbose:
            super().v2_runner_on_async_poll(result)

    @never_raises
    def v2_playbook_on_stats(self, stats: Any) -> None:
        self._end_phase()
        if self._verbose:
            super().v2_playbook_on_stats(stats)
        for warning in self._warnings:
            self._paragraph(f"Warning: {warning}", "", C.COLOR_WARN)
        if len(self._numbers) >= TABLE_FROM_PLAYS and not any(phase.failed for phase in self._ended):
            self._show_table()
        self._show_reports()

    v2_playbook_on_no_hosts_remaining = only_when_verbose("v2_playbook_on_no_hosts_remaining")
    v2_playbook_on_include = only_when_verbose("v2_playbook_on_include")
    v2_playbook_on_notify = only_when_verbose("v2_playbook_on_notify")
    v2_runner_on_start = only_when_verbose("v2_runner_on_start")
    v2_runner_on_skipped = only_when_verbose("v2_runner_on_skipped")
    v2_runner_retry = only_when_verbose("v2_runner_retry")
    v2_runner_item_on_ok = only_when_verbose("v2_runner_item_on_ok")
    v2_runner_item_on_failed = only_when_verbose("v2_runner_item_on_failed")
    v2_runner_item_on_skipped = only_when_verbose("v2_runner_item_on_skipped")
    v2_runner_on_async_ok = only_when_verbose("v2_runner_on_async_ok")
    v2_runner_on_async_failed = only_when_verbose("v2_runner_on_async_failed")

    def _remember(self, result: Any) -> None:
        """What is shown once, at the end."""
        self._work_has_ended(result.host.get_name())
        if self._phase:
            self._phase.hosts.add(result.host.get_name())
        for item in items_of(result):
            facts = item.get("ansible_facts") or {}
            if report := item.get("erni_report") or facts.get("erni_report"):
                self._reports[str(report)] = None
        if not self._verbose:
            self._warnings.update(dict.fromkeys(str(warning) for warning in result.result.get("warnings") or []))

    def _add(self, result: Any, text: str, color: str | None = None, raw: bool = False) -> None:
        if self._phase:
            self._phase.lines.append(Line(result.host.get_name(), text, color, raw))

    def _name_phase(self) -> None:
        """In a terminal on a line that the outcome will complete; elsewhere on a line of its own."""
        phase = self._phase
        if phase is None or phase.named:
            return
        phase.named = True
        phase.line_open = sys.stdout.isatty()
        self._say(phase.title, newline=not phase.line_open)

    def _end_phase(self) -> None:
        phase = self._phase
        if phase is None:
            return
        phase.seconds = time.monotonic() - phase.begin
        self._ended.append(phase)
        if not self._verbose:
            self._name_phase()
            indent = "  " if phase.line_open else INDENT
            self._say(f"{indent}{phase.outcome} {phase.seconds:.1f} s", OUTCOME_COLORS[phase.outcome])
            phase.line_open = False
            self._show_lines(phase)
        self._phase = None

    def _show_lines(self, phase: Phase) -> None:
        for line in phase.lines:
            prefix = f"{line.host}: " if len(phase.hosts) > 1 else ""
            if line.raw:
                self._say(prefix + line.text, line.color)
            else:
                self._paragraph(prefix + line.text, INDENT, line.color)
        phase.lines.clear()

    def _show_failure(self, heading: str, lines: list[str]) -> None:
        """At once: the other hosts may take long to end the phase."""
        self._begin_line()
        if self._phase:
            self._show_lines(self._phase)
        self._paragraph(heading, INDENT, C.COLOR_ERROR)
        for line in lines:
            self._paragraph(line, INDENT + "  ", C.COLOR_ERROR)

    def _begin_line(self) -> None:
        """Below the phase's name, whose outcome will stand on a line of its own, too."""
        self._name_phase()
        if self._phase and self._phase.line_open:
            self._say("")
            self._phase.line_open = False

    def _show_progress(self, host: str, told: Result) -> None:
        text = f"{host}: {told['text']}" if told["several"] else str(told["text"])
        if sys.stdout.isatty() and not self._verbose:
            self._at_work[host] = text
            self._show_row()
            return
        before, self._lasting[host] = self._lasting.get(host, 0), int(told["seconds"] // PROGRESS_SECONDS)
        if self._lasting[host] > before:
            self._say(INDENT + text)

    def _show_row(self) -> None:
        """All that goes on, on the line that the next output will erase."""
        self._begin_line()
        row = INDENT + "; ".join(self._at_work.values())
        self._write(ERASED_LINE + cut(row, shutil.get_terminal_size().columns - 1))
        self._row_open = True

    def _erase_row(self) -> None:
        if self._row_open:
            self._row_open = False
            self._write(ERASED_LINE)

    def _work_has_ended(self, host: str) -> None:
        self._lasting.pop(host, None)
        if self._at_work.pop(host, None) is not None:
            self._erase_row()
            if self._at_work:
                self._show_row()

    def _write(self, text: str) -> None:
        self._display.display(text, newline=False, screen_only=True)
        sys.stdout.flush()

    def _show_table(self) -> None:
        width = max((len(phase.title) for phase in self._ended), default=0)
        self._say("")
        for phase in self._ended:
            row = f"  {phase.title.ljust(width)}  {phase.outcome.ljust(7)} {phase.seconds:7.1f} s"
            self._say(row, OUTCOME_COLORS[phase.outcome])
        total = sum(phase.seconds for phase in self._ended)
        self._say(f"  {'total'.ljust(width)}  {' ' * 7} {total:7.1f} s")

    def _show_reports(self) -> None:
        text = "\n".join(report.rstrip("\n") for report in self._reports)
        if not text:
            return
        if self._report_descriptor is None:
            self._say("\n" + text)
            return
        with os.fdopen(os.dup(self._report_descriptor), "w", encoding="utf-8") as output:
            output.write(text + "\n")

    def _paragraph(self, text: str, indent: str, color: str | None) -> None:
        for line in wrapped(text, indent):
            self._say(line, color)

    def _say(self, text: str, color: str | None = None, newline: bool = True) -> None:
        self._erase_row()
        self._display.display(text, color=color, newline=newline)
        sys.stdout.flush()


def items_of(result: Any) -> list[Result]:
    """A loop's items, or the one result."""
    items = result.result.get("results")
    if result.task.loop is not None and isinstance(items, list):
        return [item for item in items if isinstance(item, Mapping)]
    return [result.result]


def sentences(actions: Any) -> list[str]:
    """Other collections return ``actions`` of other shapes; only a list of sentences is ours."""
    if isinstance(actions, list) and all(isinstance(action, str) for action in actions):
        return actions
    return []


def is_rescued(task: Any) -> bool:
    """Whether a ``rescue`` takes over when this task fails: then that is where the failure is told, or mended."""
    node, parent = task, task._parent
    while parent is not None:
        if isinstance(parent, Block) and parent.rescue and any(child._uuid == node._uuid for child in parent.block):
            return True
        node, parent = parent, parent._parent
    return False


def failure_lines(result: Any) -> list[str]:
    items = items_of(result)
    if items == [result.result]:
        return [*message_lines(result.result), *finding_lines(result)]
    return [
        f"{item.get('_ansible_item_label', item.get('item'))}: {line}"
        for item in items
        if item.get("failed")
        for line in message_lines(item)
    ] + finding_lines(result)


def message_lines(item: Result) -> list[str]:
    """The failure in words: the message, and what the failed program wrote last."""
    lines = str(item.get("msg") or item.get("censored") or "It gave no reason.").strip().splitlines()
    lines[0] = lines[0].removeprefix("Task failed: ")
    if crash := str(item.get("module_stderr") or "").strip():
        return [*lines, crash.splitlines()[-1], "Run again with V=3 for the whole output."]
    if "rc" in item:
        output = str(item.get("stderr") or item.get("stdout") or "").strip().splitlines()
        lines += output[-OUTPUT_TAIL_LINES:]
    return lines


def finding_lines(result: Any) -> list[str]:
    findings = [finding for item in items_of(result) for finding in item.get("findings") or []]
    return [line for finding in findings if isinstance(finding, Mapping) for line in _finding(finding)]


def _finding(finding: Result) -> Iterator[str]:
    severity = finding.get("severity")
    yield f"- {severity}: {finding.get('what')}" if severity else f"- {finding.get('what')}"
    for part in ("why", "remedy"):
        if text := finding.get(part):
            yield f"  {text}"


def cut(text: str, width: int) -> str:
    """A line that is longer than the terminal would leave its first part behind when it is erased."""
    return text if len(text) <= width else f"{text[: width - 1]}…"


def wrapped(text: str, indent: str) -> list[str]:
    """Lines for the terminal's width; whole ones where no person reads, so that a search finds the sentence."""
    inner = indent + " " * (len(text) - len(text.lstrip()))
    if not sys.stdout.isatty():
        return [indent + text]
    width = max(40, shutil.get_terminal_size().columns)
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=inner + "  ", break_long_words=False)
