"""Every failure that is known of other parsers, verifiers and runtimes, with the test that keeps it away.

The list is data, so that nobody removes a test without noticing what it was for. What had no test of its own
elsewhere is tested below.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from orca.statemachine.loading import load, parse_orca

TESTS = Path(__file__).parents[1]
LANGUAGE, GUARDS, VERIFIER = "unit/test_language.py", "unit/test_guards.py", "unit/test_verifier.py"
KNOWN, SEED, HERE = (
    "unit/test_known_failures.py",
    "unit/test_seed_machines.py",
    "unit/test_listed_failures.py",
)
LISTED = {
    "the language": {
        "keywords cannot be names": (LANGUAGE, "test_keywords_are_names_where_names_stand"),
        "sections only in one order, repeated ones replace": (LANGUAGE, "test_sections_in_any_order_merge"),
        "two bracket groups lose both annotations": (LANGUAGE, "test_both_ways_to_write_two_annotations"),
        "comments inside of strings": (
            LANGUAGE,
            "test_comments_and_strings_that_look_like_comments",
        ),
        "one machine for each text": (LANGUAGE, "test_several_machines_in_one_text"),
        "context types and defaults of the seed": (SEED, "test_context_of_the_game"),
        "descriptions on the wrong state": (SEED, "test_descriptions_stand_on_the_right_states"),
        "an inline guard is a name": (SEED, "test_guards_of_the_game"),
        "-5, [], null and 1e3 are strings": (KNOWN, "test_defaults_keep_their_types"),
        "defaults that do not fit their type": (LANGUAGE, "test_defaults_fit_their_types"),
        "500ms read as 500 s": (KNOWN, "test_500_ms_are_half_a_second"),
        "a bare number as duration is not told": (
            LANGUAGE,
            "test_a_duration_without_unit_is_seconds_and_a_warning",
        ),
        "a nested state in a region drops all later ones": (
            LANGUAGE,
            "test_nested_states_in_regions_keep_what_comes_after_them",
        ),
        "escaped bars, code spans, fences, HTML comments, blank lines, CRLF": (LANGUAGE, "test_markdown"),
        "columns by position": (LANGUAGE, "test_markdown"),
        "a simple name that is not unique is guessed": (
            HERE,
            "test_an_ambiguous_name_is_refused_with_its_candidates",
        ),
        "only the first problem is told": (LANGUAGE, "test_all_problems_of_a_brace_text_in_one_run"),
        "only the first problem is told, in Markdown": (
            LANGUAGE,
            "test_all_problems_of_a_markdown_text_in_one_run",
        ),
        "a missing brace swallows the rest": (LANGUAGE, "test_a_missing_brace_does_not_swallow_the_rest"),
        "hostile nesting and backtracking": (
            "unit/test_limits.py",
            "test_hostile_texts_are_refused_or_read_in_linear_time",
        ),
        "printing loses something": ("property/test_notations.py", "test_brace_reads_back"),
        "printing loses something, in Markdown": ("property/test_notations.py", "test_markdown_reads_back"),
        "formatting loses comments": ("property/test_formatting.py", "test_comments_survive"),
        "formatting loses prose": ("property/test_formatting.py", "test_prose_survives"),
        "cells of decision tables": ("unit/test_language_outputs.py", "test_cells"),
    },
    "guards": {
        "a silently shorter guard": (LANGUAGE, "test_a_guard_is_never_silently_shorter"),
        "!guard is always true, inline guards allow": (KNOWN, "test_negated_and_inline_guards"),
        "else is a name": (HERE, "test_else_is_always_true"),
        "attributes of objects can be reached": (LANGUAGE, "test_names_are_fields_and_never_attributes"),
        "objects are traversed at run time": (GUARDS, "test_only_mappings_are_traversed"),
        "an undeclared name allows": (HERE, "test_an_undeclared_name_never_allows"),
        "null, mixed types, negation of unknown": (GUARDS, "test_three_values"),
        "booleans are numbers, texts are coerced": (GUARDS, "test_comparisons"),
        "unknown without a reason": (GUARDS, "test_the_reason_names_what_was_unknown_first"),
        "a bare path": (GUARDS, "test_a_bare_path_is_its_truth"),
        "precedence": (LANGUAGE, "test_expressions"),
    },
    "the verifier": {
        "timeouts and invocations are no edges": (VERIFIER, "test_timeouts_and_invocations_are_edges"),
        "two initial states": (
            VERIFIER,
            "test_two_initial_states_and_a_nested_level_without_one_do_not_load",
        ),
        "nested dead ends are not seen": (VERIFIER, "test_a_nested_dead_end_is_seen"),
        "!a and !b over {a, b} overlap": (
            VERIFIER,
            "test_not_a_and_not_b_do_not_overlap_when_there_is_nothing_else",
        ),
        "mixed tables with holes are accepted": (VERIFIER, "test_a_mixed_table_with_a_hole_is_not_accepted"),
        "a trailing catch-all is inconsistent, partial overlap redundant": (
            VERIFIER,
            "test_a_trailing_catch_all_is_no_contradiction_and_partial_overlap_is_not_redundant",
        ),
        "a shadowed transition is not reported": (VERIFIER, "test_the_seed_pair_is_reported"),
        "64 states at most": (VERIFIER, "test_a_million_configurations_take_seconds"),
        "a limit is passed in silence": (VERIFIER, "test_a_budget_that_is_used_up_is_said"),
        "undecided guards are claimed": (VERIFIER, "test_undecided_guards_are_said_and_z3_decides_them"),
        "invariants are advisory": (
            VERIFIER,
            "test_an_invariant_holds_behind_its_guard_and_not_behind_an_action",
        ),
        "answers without a run": (
            "unit/test_verifier_codes.py",
            "test_the_traces_of_the_failing_example_play",
        ),
        "wrong answers": (
            "property/test_verifier_trials.py",
            "test_no_disagreement_on_all_machines_up_to_three_states",
        ),
    },
    "the runtime": {
        "initial compound and parallel states": (
            KNOWN,
            "test_initial_compound_and_parallel_states_are_expanded",
        ),
        "more than two levels": (KNOWN, "test_more_than_two_levels"),
        "a nested target loses its parents": (KNOWN, "test_entry_to_a_nested_target_keeps_its_parents"),
        "entry and exit of parents": (KNOWN, "test_parents_entry_and_exit_actions_run"),
        "one region per event": (KNOWN, "test_every_region_takes_an_event"),
        "the wrong region's on_exit": (KNOWN, "test_only_the_region_that_moves_runs_its_exit_action"),
        "from_state aliased": (KNOWN, "test_from_state_is_the_state_before"),
        "done by simple name across regions": (KNOWN, "test_finals_of_one_name_in_two_regions"),
        "on_done targets": (KNOWN, "test_on_done_targets_are_expanded"),
        "on_transition called twice": (KNOWN, "test_on_transition_is_called_once"),
        "one timer for the machine": (KNOWN, "test_timers_do_not_leak_restart_or_cancel_themselves"),
        "a timer cancels its own transition": (KNOWN, "test_a_timer_takes_its_own_transition_to_the_end"),
        "synchronous callbacks raise": (KNOWN, "test_sync_callbacks_everywhere"),
        "half a transition": (KNOWN, "test_half_a_transition_never_remains"),
        "effects only on on_entry": (KNOWN, "test_effects_run_wherever_their_action_stands"),
        "concurrent and reentrant sends": (KNOWN, "test_concurrent_and_reentrant_sends_lose_nothing"),
        "grandchildren never start": (KNOWN, "test_grandchildren_start_and_finish"),
        "on_error of an invocation": (KNOWN, "test_on_error_of_an_invoke"),
        "two invocations leak": (KNOWN, "test_two_invokes_in_two_regions_and_returns"),
        "nothing saved after the start": (KNOWN, "test_the_start_is_saved"),
        "path traversal by run id": (KNOWN, "test_run_ids_cannot_leave_the_folder"),
        "resume into a state that is not there": (KNOWN, "test_no_resume_into_a_state_that_is_not_there"),
        "STATE_CHANGED": (KNOWN, "test_state_changed_is_published"),
        "bracket groups and regions of the parser": (
            KNOWN,
            "test_two_bracket_groups_and_nested_states_in_regions",
        ),
    },
}


@pytest.mark.parametrize("part", LISTED)
def test_every_listed_failure_has_its_test(part: str) -> None:
    for failure, (file, name) in LISTED[part].items():
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        assert name in tests, failure


@pytest.mark.parametrize("row", ["idle + GO -> same", "a.same + GO -> idle\n  same + GO -> idle"])
def test_an_ambiguous_name_is_refused_with_its_candidates(row: str) -> None:
    text = f"""machine M
state idle [initial]
state a {{ state same [initial] }}
state b {{ state same [initial] }}
transitions {{
  {row}
}}
"""
    (found,) = [item for item in load(text).diagnostics if item.severity == "error"]
    assert found.code == "AMBIGUOUS_STATE"
    assert "a.same" in found.message + found.suggestion
    assert "b.same" in found.message + found.suggestion


def test_else_is_always_true() -> None:
    from orca.statemachine.engine import compile_plan, initial_snapshot, step

    plan = compile_plan(
        parse_orca("""
machine M
context { n: int = 0 }
state a [initial]
state b
state c
transitions {
  a + GO [n > 5] -> b
  a + GO [else] -> c
}
""")
    )
    start = step(plan, initial_snapshot(plan)).snapshot
    assert plan.describe(step(plan, start, "GO").snapshot.configuration) == "c"


@pytest.mark.parametrize(
    "guard", ["missing", "!missing", "ctx.missing > 0", "not missing", "n > 0 or missing"]
)
@pytest.mark.parametrize("notation", ["brace", "markdown"])
def test_an_undeclared_name_never_allows(guard: str, notation: str) -> None:
    brace = (
        f"machine M\ncontext {{ n: int = 0 }}\nstate a [initial]\ntransitions {{ a + GO [{guard}] -> a }}\n"
    )
    markdown = (
        "# machine M\n## context\n| Field | Type | Default |\n|--|--|--|\n| n | int | 0 |\n## state a [initial]\n"
        f"## transitions\n| Source | Event | Guard | Target |\n|--|--|--|--|\n| a | GO | {guard} | a |\n"
    )
    result = load(brace if notation == "brace" else markdown)
    assert not result.ok
    assert {item.code for item in result.diagnostics} <= {"UNKNOWN_GUARD", "UNKNOWN_FIELD"}
