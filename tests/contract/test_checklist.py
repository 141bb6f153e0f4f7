"""The checklist of both API references: each item is held by a named test, or is a stated exception.

4A is MiniAPM's reference of ingest, 4B that of the Mesh-Trace API, 4C where the two meet.
"""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

OTHER_LANGUAGES = "not offered: the OpenAPI document makes a client in any language"


class Reason(str):
    """Why no test holds an item."""


def exception(reason):
    return (Reason(reason),)


A = {
    1: ("test_json_traces_are_answered_in_json_and_are_there", "test_an_error_of_either_generation_is_stored"),
    2: ("test_the_key_is_looked_at_before_the_body",),
    3: ("test_a_key_is_found_whatever_the_case_and_the_spaces", "test_create_prints_the_key_alone_and_it_opens_the_lake"),
    4: ("test_without_an_environment_everything_has_its_default",),
    5: ("test_protobuf_traces_are_answered_in_protobuf_and_are_there",),
    6: ("test_an_error_of_either_generation_is_stored",),
    7: ("test_a_batch_of_errors_counts_the_good_ones_and_names_the_others",),
    8: ("test_a_deploy_of_either_generation_is_stored",),
    9: ("test_requests_are_stored",),
    10: ("test_health_needs_no_key_and_minds_none",),
    11: ("test_a_real_answer_is_as_described",),
    12: ("test_an_unknown_and_a_revoked_key_get_the_same_answer", "test_a_missing_key_says_the_same_with_a_code_of_its_own"),
    13: ("test_a_body_that_is_not_what_the_route_takes_is_400_and_never_422",),
    14: ("test_an_error_that_nobody_foresaw_tells_nothing",),
    15: (
        "test_json_traces_are_answered_in_json_and_are_there",
        "test_protobuf_traces_are_answered_in_protobuf_and_are_there",
    ),
    16: ("test_the_python_sdk_is_understood_in_every_compression_it_knows",),
    17: ("test_the_header_of_an_sdk_that_does_not_decode_it_is_understood",),
    18: ("test_every_route_of_ingest_is_in_its_page",),
    19: ("test_the_error_is_recorded_with_the_line_in_backticks",),
    20: ("test_a_missing_type_is_json_if_it_looks_like_it", "test_a_type_that_is_not_known_is_refused"),
    21: ("test_the_deploy_is_recorded",),
    22: ("test_the_health_check_prints_the_documented_response",),
    23: ("test_the_error_is_recorded_with_the_line_in_backticks", "test_the_deploy_is_recorded"),
    24: ("test_the_span_of_the_reference_is_taken_as_it_is_printed",),
    25: ("test_a_trace_request_that_is_none_has_the_text_of_the_reference",),
    26: ("test_protobuf_traces_are_answered_in_protobuf_and_are_there",),
    27: ("test_an_error_of_the_first_generation_fills_its_columns",),
    28: ("test_the_error_is_recorded_with_the_line_in_backticks",),
    29: ("test_a_batch_of_errors_counts_the_good_ones_and_names_the_others",),
    30: ("test_class_message_and_line_tell_errors_apart", "test_a_list_has_a_group_for_each_fingerprint"),
    31: ("test_a_deploy_of_either_generation_fills_its_columns", "test_a_deploy_needs_a_version_or_a_git_sha"),
    32: ("test_the_deploy_is_recorded",),
    33: ("test_an_error_of_the_second_generation_fills_its_columns",),
    34: ("test_the_first_start_shows_two_keys_and_no_other_start_does",),
    35: ("test_the_recipe_for_github_actions_records_a_deploy_once", "test_the_recipe_for_gitlab_records_a_deploy"),
}

B = {
    1: ("test_json_traces_are_answered_in_json_and_are_there", "test_a_collector_is_labelled_drained_and_forgotten"),
    2: ("test_a_real_answer_is_as_described",),
    3: ("test_an_error_has_a_status_and_a_code",),
    4: ("test_the_examples_of_a_section_answer_what_the_page_shows",),
    5: exception("not published: `lake.connect` is part of the package"),
    6: exception(OTHER_LANGUAGES),
    7: ("test_an_answer_without_a_key_has_them_too",),
    8: ("test_another_scheme_is_no_key",),
    9: ("test_what_is_sent_with_one_key_is_seen_by_the_keys_of_the_same_lake_and_no_other",),
    10: ("test_a_key_tells_whose_it_is",),
    11: ("test_create_prints_the_key_alone_and_it_opens_the_lake", "test_a_new_key_is_shown_once_and_works"),
    12: ("test_keys_of_another_project_are_not_there",),
    13: ("test_a_revoked_key_is_refused_by_every_worker_within_a_second",),
    14: ("test_a_key_with_less_to_do_is_refused_the_rest",),
    15: ("test_no_key_is_in_a_line_wherever_it_stood",),
    16: ("test_the_description_lists_every_route",),
    17: ("test_the_address_may_be_written_as_the_reference_writes_it",),
    18: ("test_no_minute_sees_more_than_the_limit_and_nothing_is_refused_that_61_seconds_have_room_for",),
    19: ("test_a_limit_holds_for_one_key_and_not_for_its_project",),
    20: ("test_every_answer_tells_the_limit",),
    21: ("test_every_answer_tells_the_limit", "test_every_refusal_of_a_key_or_a_body_tells_the_limit"),
    22: ("test_a_refusal_says_when_to_come_again",),
    23: ("test_a_client_comes_back_no_earlier_than_it_was_told",),
    24: ("test_a_key_may_have_a_name_a_limit_and_less_to_do",),
    25: ("test_under_v1_an_error_is_an_object",),
    26: ("test_a_real_answer_is_as_described",),
    27: ("test_a_new_key_is_shown_once_and_works",),
    28: ("test_a_value_that_cannot_be_is_400_with_the_parameter", "test_a_refusal_names_the_field_and_what_it_has_to_be"),
    29: ("test_an_answer_without_a_key_has_them_too",),
    30: ("test_no_key_gives_more_than_it_has",),
    31: ("test_an_unknown_trace_is_404",),
    32: ("test_workers_together_let_pass_what_one_key_may_send",),
    33: ("test_an_answer_to_a_fault_of_the_server_tells_the_limit",),
    34: ("test_a_server_without_its_control_database_says_so_and_tells_clients_to_come_back",),
    35: ("test_a_model_has_every_field_of_the_reference_and_needs_no_other",),
    36: ("test_a_client_comes_back_no_earlier_than_it_was_told",),
    37: ("test_all_pages_are_one_list",),
    38: ("test_every_route_of_the_reference_has_a_call",),
    39: exception(OTHER_LANGUAGES),
    40: exception(OTHER_LANGUAGES),
    41: exception(OTHER_LANGUAGES),
    42: ("test_the_newest_comes_first", "test_a_search_finds_the_spans_that_were_sent"),
    43: ("test_a_filter_leaves_what_fits",),
    44: ("test_without_a_window_it_is_the_last_hour",),
    45: ("test_a_window_without_an_end_reaches_to_now",),
    46: ("test_a_filter_leaves_what_fits",),
    47: ("test_a_filter_leaves_what_fits", "test_the_status_of_a_trace_is_that_of_its_root_unless_a_span_failed"),
    48: ("test_a_page_has_fifty_unless_asked_otherwise", "test_the_parameters_of_the_list_are_described_with_their_limits"),
    49: ("test_pages_are_the_list_without_a_gap_and_without_a_double",),
    50: ("test_pages_are_the_list_without_a_gap_and_without_a_double",),
    51: ("test_what_is_no_trace_id_is_400", "test_the_case_of_a_trace_id_does_not_matter"),
    52: ("test_one_trace_has_the_fields_of_its_item_and_more",),
    53: ("test_a_missing_field_is_named", "test_a_bad_query_is_shown_where_it_is_bad"),
    54: (
        "test_the_examples_of_a_section_answer_what_the_page_shows",
        "test_a_generated_query_finds_what_plain_python_finds",
    ),
    55: ("test_a_missing_field_is_named",),
    56: ("test_a_missing_field_is_named",),
    57: ("test_a_field_that_cannot_be_is_named",),
    58: ("test_the_examples_of_a_section_answer_what_the_page_shows",),
    59: ("test_a_collector_is_labelled_drained_and_forgotten",),
    60: ("test_the_processes_of_the_server_are_nodes", "test_the_list_is_filtered_and_has_pages"),
    61: ("test_a_collector_presents_itself_and_says_that_it_is_alive",),
    62: ("test_the_list_is_filtered_and_has_pages",),
    63: ("test_a_service_says_how_it_is",),
    64: ("test_the_topology_is_the_known_graph",),
    65: ("test_a_cluster_has_its_services_and_the_calls_that_touch_it",),
    66: ("test_another_window_is_refused",),
    67: ("test_the_topology_is_the_known_graph",),
    68: ("test_what_fires_is_listed_acknowledged_and_in_the_history", "test_a_slow_service_fires_and_is_resolved"),
    69: ("test_a_rule_needs_its_fields", "test_what_is_no_rule_is_refused_by_its_field"),
    70: ("test_a_rule_needs_its_fields", "test_a_rule_that_cannot_be_judged_is_refused_by_its_field"),
    71: ("test_a_rule_needs_its_fields", "test_what_is_no_rule_is_refused_by_its_field"),
    72: ("test_a_rule_is_what_the_contract_shows", "test_a_rule_that_cannot_be_judged_is_refused_by_its_field"),
    73: ("test_a_rule_is_made_with_201_as_the_reference_shows",),
    74: ("test_a_rule_is_changed_replaced_and_deleted", "test_a_list_of_rules_has_pages"),
    75: ("test_the_examples_of_a_section_answer_what_the_page_shows",),
    76: ("test_the_topology_is_the_known_graph",),
    77: exception("a matter of measuring: docs/benchmarks.md; promoted columns are tested in tests/lake/test_promotion.py"),
    78: ("test_a_rule_is_made_with_201_as_the_reference_shows", "test_a_rule_is_changed_replaced_and_deleted"),
    79: ("test_pages_are_those_of_the_first_one_whatever_happens_meanwhile",),
    80: ("test_v2_is_gone_and_says_where_to_go",),
    81: ("test_the_examples_of_a_section_answer_what_the_page_shows", "test_every_code_of_an_error_is_in_the_table"),
}

C = {
    "a": ("test_under_v1_an_error_is_an_object", "test_under_ingest_an_error_is_a_text"),
    "b": ("test_a_real_answer_is_as_described",),
    "c": ("test_a_body_that_is_not_what_the_route_takes_is_400_and_never_422",),
    "d": ("test_options_names_every_method_of_a_path", "test_json_traces_are_answered_in_json_and_are_there"),
    "e": ("test_what_is_never_refused_is_not_counted",),
    "f": ("test_the_error_is_recorded_with_the_line_in_backticks", "test_the_processes_of_the_server_are_nodes"),
    "g": ("test_an_item_is_a_summary_of_its_trace",),
    "h": ("test_what_is_sent_with_one_key_is_seen_by_the_keys_of_the_same_lake_and_no_other",),
    "i": ("test_a_trace_is_found_at_once_while_compaction_runs",),
}

LISTS: dict[str, dict[str, tuple[str, ...]]] = {
    "4A": {str(number): held for number, held in A.items()},
    "4B": {str(number): held for number, held in B.items()},
    "4C": C,
}
ITEMS = {"4A": map(str, range(1, 36)), "4B": map(str, range(1, 82)), "4C": "abcdefghi"}


@pytest.fixture(scope="module")
def written():
    """The names of all tests."""
    return {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)\(", path.read_text())}


@pytest.mark.parametrize("name", LISTS)
def test_every_item_of_the_list_is_held(name):
    assert set(LISTS[name]) == set(ITEMS[name])


@pytest.mark.parametrize("name", LISTS)
def test_what_holds_an_item_is_a_test_or_a_reason(name, written):
    for item, holders in LISTS[name].items():
        assert holders, item
        missing = [holder for holder in holders if not isinstance(holder, Reason) and holder not in written]
        assert missing == [], f"{name}.{item}"
