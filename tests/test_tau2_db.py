"""The tau2_db scorer: its rules one by one, two model shops on which it may pass nothing wrongly, and real and scripted logs with their official verdicts."""
import copy
import json
import random
from collections import Counter
from types import SimpleNamespace

import pytest
from conftest import logs
from hypothesis import given
from hypothesis import strategies as st
from shops import episode

from tracekit.dataset import Dataset
from tracekit.pipeline import convert
from tracekit.scorers.tau2_db import KINDS, PARTS, compute_scores, form, product, writes
from tracekit.trace import Trace, assistant, call, output, user


def made(name, output="{}", failed=False, **args):
    "A recorded call"
    return {"name": name, "args": args, "created_by": "assistant", "output": output, "failed": failed, "item": 0}


def failed(one, why="Error: no"): return {**one, "failed": True, "output": why}
def changed(one, **args): return {**one, "args": one["args"] | args}
def expected(calls): return [{"name": c["name"], "arguments": c["args"]} for c in calls]
def passes(domain, wanted, calls): return all(e["met"] for e in writes(expected(wanted), calls, domain))


def order(id, status="pending", card="credit_card_1"):
    "What the run read of an order"
    return made("get_order_details", json.dumps({"order_id": id, "status": status, "payment_history": [{"payment_method_id": card}]}), order_id=id)


CANCEL = made("cancel_pending_order", order_id="#W1", reason="no longer needed")
EXCHANGE = made("exchange_delivered_order_items", order_id="#W2", item_ids=["1", "2"], new_item_ids=["3", "4"], payment_method_id="credit_card_1")
RETURN = made("return_delivered_order_items", order_id="#W2", item_ids=["1", "2"], payment_method_id="credit_card_1")
ITEMS = made("modify_pending_order_items", order_id="#W1", item_ids=["1", "2", "3"], new_item_ids=["4", "5", "6"], payment_method_id="credit_card_1")
PAYMENT = made("modify_pending_order_payment", order_id="#W1", payment_method_id="paypal_1")
ADDRESS = made("modify_pending_order_address", order_id="#W1", address1="1 St", zip="1")
HOME = made("modify_user_address", user_id="u1", address1="1 St", zip="1")
LOOK = made("get_user_details", '{"payment_methods": {"gift_card_1": {}, "credit_card_1": {}}}', user_id="u1")
FLIGHTS = made("update_reservation_flights", reservation_id="R1", cabin="economy", payment_id="credit_card_1",
               flights=[{"flight_number": "HAT1", "date": "2024-05-20"}, {"flight_number": "HAT2", "date": "2024-05-21"}])
BAGS = made("update_reservation_baggages", reservation_id="R1", total_baggages=2, nonfree_baggages=0, payment_id="credit_card_1")
PEOPLE = made("update_reservation_passengers", reservation_id="R1", passengers=[{"first_name": "A", "last_name": "B", "dob": "1990-01-01"}])
BOOK = made("book_reservation", user_id="u1", cabin="economy", flights=FLIGHTS["args"]["flights"], passengers=PEOPLE["args"]["passengers"],
            payment_methods=[{"payment_id": "credit_card_1", "amount": 200}], total_baggages=1, nonfree_baggages=0, insurance="no")
LEAVE = made("cancel_reservation", reservation_id="R1")
CERTIFICATE = made("send_certificate", user_id="u1", amount=100)
TASK = made("create_task", user_id="u1", title="x")
STATUS = made("update_task_status", task_id="task_1", status="completed")
OTHER = {"order_id": "#W9"}

RULE = {   # what it is about: (domain, expected, made, passes)
    "nothing and nothing": ("retail", [], [], True),
    "reads do not count": ("retail", [order("#W1")], [LOOK], True),
    "the same write": ("retail", [CANCEL], [CANCEL], True),
    "no write": ("retail", [CANCEL], [], False),
    "a write too many": ("retail", [], [CANCEL], False),
    "a write twice": ("retail", [CANCEL], [CANCEL, CANCEL], False),
    "a failed write": ("retail", [CANCEL], [failed(CANCEL)], False),
    "a failed write too many": ("retail", [], [failed(CANCEL)], True),
    "failed, then done": ("retail", [CANCEL], [failed(CANCEL), CANCEL], True),
    "a write without answer": ("retail", [CANCEL], [{**CANCEL, "output": None}], False),
    "a write too many without answer": ("retail", [], [{**CANCEL, "output": None}], False),
    "another argument": ("retail", [CANCEL], [changed(CANCEL, reason="ordered by mistake")], False),
    "an argument more": ("retail", [CANCEL], [changed(CANCEL, note="x")], False),
    "a number for a text": ("retail", [HOME], [changed(HOME, zip=1)], False),
    "arguments that are no object": ("retail", [CANCEL], [{**CANCEL, "args": "#W1"}], False),
    "two orders in any order": ("retail", [CANCEL, RETURN], [RETURN, CANCEL], True),
    "two writes on one order in their order": ("retail", [PAYMENT, CANCEL], [PAYMENT, CANCEL], True),
    "address beside items, in any order": ("retail", [ADDRESS, ITEMS], [ITEMS, ADDRESS], True),
    "items of a return in another order": ("retail", [RETURN], [changed(RETURN, item_ids=["2", "1"])], True),
    "items of a return, one more": ("retail", [RETURN], [changed(RETURN, item_ids=["1", "2", "2"])], False),
    "items of an exchange in another order": ("retail", [EXCHANGE], [changed(EXCHANGE, item_ids=["2", "1"], new_item_ids=["4", "3"])], True),
    "new items of an exchange in another order": ("retail", [EXCHANGE], [changed(EXCHANGE, new_item_ids=["4", "3"])], True),
    "items of a change, the first two swapped": ("retail", [ITEMS], [changed(ITEMS, item_ids=["2", "1", "3"], new_item_ids=["5", "4", "6"])], True),
    "items of a change, paired otherwise": ("retail", [ITEMS], [changed(ITEMS, item_ids=["2", "1", "3"])], False),
    "items of a change, another one last": ("retail", [ITEMS], [changed(ITEMS, item_ids=["3", "1", "2"], new_item_ids=["6", "4", "5"])], False),
    "two items of a change, swapped": ("retail", [changed(ITEMS, item_ids=["1", "2"], new_item_ids=["4", "5"])],
                                       [changed(ITEMS, item_ids=["2", "1"], new_item_ids=["5", "4"])], False),
    "two items to the same new one, swapped": ("retail", [changed(ITEMS, item_ids=["1", "2"], new_item_ids=["4", "4"])],
                                               [changed(ITEMS, item_ids=["2", "1"], new_item_ids=["4", "4"])], True),
    "four items, the third moved": ("retail", [changed(ITEMS, item_ids=["1", "2", "3", "7"], new_item_ids=["4", "5", "6", "8"])],
                                    [changed(ITEMS, item_ids=["1", "3", "2", "7"], new_item_ids=["4", "6", "5", "8"])], False),
    "item ids that are no texts": ("retail", [changed(RETURN, item_ids=[1, 2])], [changed(RETURN, item_ids=[2, 1])], False),
    "a second return": ("retail", [RETURN, changed(RETURN, item_ids=["3"])], [RETURN], True),
    "only the second return": ("retail", [RETURN, changed(RETURN, item_ids=["3"])], [changed(RETURN, item_ids=["3"])], False),
    "an exchange, then a return": ("retail", [EXCHANGE, RETURN], [EXCHANGE], True),
    "the return before the exchange": ("retail", [EXCHANGE, RETURN], [RETURN], False),
    "items twice": ("retail", [ITEMS, changed(ITEMS, item_ids=["9"], new_item_ids=["8"])], [ITEMS], True),
    "cancelled after items": ("retail", [ITEMS, CANCEL], [ITEMS], True),
    "paid otherwise after items": ("retail", [ITEMS, PAYMENT], [ITEMS], True),
    "items after paid otherwise": ("retail", [PAYMENT, ITEMS], [PAYMENT], False),
    "an address after a cancellation": ("retail", [CANCEL, ADDRESS], [CANCEL], True),
    "an address before a cancellation": ("retail", [CANCEL, ADDRESS], [ADDRESS, CANCEL], False),
    "an exchange of a pending order, which was read": ("retail", [changed(EXCHANGE, order_id="#W1")], [order("#W1")], True),
    "an exchange of a pending order, which was not read": ("retail", [changed(EXCHANGE, order_id="#W1")], [], False),
    "an exchange of a pending order, with another write": ("retail", [changed(EXCHANGE, order_id="#W1"), ITEMS], [ITEMS], True),
    "an order that was read after the write": ("retail", [CANCEL], [CANCEL, order("#W1", "cancelled")], True),
    "another order was read": ("retail", [EXCHANGE], [order("#W1")], False),
    "an answer that is no order": ("retail", [EXCHANGE], [{**order("#W2"), "output": "[1"}], False),
    "a refund to a card that did not pay": ("retail", [changed(RETURN, payment_method_id="paypal_1")], [order("#W2", "delivered")], True),
    "a refund to a card that did not pay, then a good one": ("retail", [changed(RETURN, payment_method_id="paypal_1"), RETURN], [order("#W2", "delivered"), RETURN], True),
    "a refund to a gift card": ("retail", [changed(RETURN, payment_method_id="gift_card_1")], [order("#W2", "delivered")], False),
    "tried, and refused for the data": ("retail", [EXCHANGE], [failed(EXCHANGE, "Error: Insufficient gift card balance to pay for the price difference")], True),
    "tried, and refused for another cause": ("retail", [EXCHANGE], [failed(EXCHANGE, "Error: timed out")], False),
    "tried with other arguments": ("retail", [EXCHANGE], [failed(changed(EXCHANGE, payment_method_id="x"), "Error: Insufficient gift card balance")], False),
    "tried after a write too many": ("retail", [EXCHANGE], [RETURN, failed(EXCHANGE, "Error: New item 3 not found or available")], False),
    "tried, and there is no such order": ("retail", [EXCHANGE], [failed(EXCHANGE, "Error: Order not found")], False),
    "tried too early": ("retail", [CANCEL, EXCHANGE], [failed(EXCHANGE, "Error: Insufficient gift card balance"), CANCEL], False),
    "tried in its turn": ("retail", [CANCEL, EXCHANGE], [CANCEL, failed(EXCHANGE, "Error: Insufficient gift card balance")], True),
    "an address replaced": ("retail", [HOME], [changed(HOME, zip="2"), HOME], True),
    "an address replaced by a wrong one": ("retail", [HOME], [HOME, changed(HOME, zip="2")], False),
    "an address replaced in the task": ("retail", [changed(HOME, zip="2"), HOME], [HOME], True),
    "another user's address": ("retail", [HOME], [HOME, changed(HOME, user_id="u2")], False),
    "one credit card for two orders": ("retail", [ITEMS, changed(ITEMS, **OTHER)], [changed(ITEMS, **OTHER), ITEMS], True),
    "a tool of the agent's own": ("retail", [CANCEL], [made("goto_node"), CANCEL, made("todo")], True),
    "an unknown tool that writes": ("retail", [CANCEL], [CANCEL, made("refund_order")], False),
    "an unknown tool that failed": ("retail", [CANCEL], [CANCEL, failed(made("refund_order"))], True),
    "an unknown expected tool": ("retail", [made("refund_order", x=1)], [made("refund_order", x=1)], True),
    "an unknown expected tool, otherwise": ("retail", [made("refund_order", x=1)], [made("refund_order", x=2)], False),
    "more keys in a flight": ("airline", [FLIGHTS], [changed(FLIGHTS, flights=[{**f, "origin": "SFO", "price": 9} for f in FLIGHTS["args"]["flights"]])], True),
    "more keys in an expected flight": ("airline", [changed(FLIGHTS, flights=[{**f, "price": 9} for f in FLIGHTS["args"]["flights"]])], [FLIGHTS], True),
    "flights in another order": ("airline", [FLIGHTS], [changed(FLIGHTS, flights=FLIGHTS["args"]["flights"][::-1])], False),
    "a flight of another day": ("airline", [FLIGHTS], [changed(FLIGHTS, flights=[{**f, "date": "2024-05-22"} for f in FLIGHTS["args"]["flights"]])], False),
    "flights that are no objects": ("airline", [FLIGHTS], [changed(FLIGHTS, flights=["HAT1", "HAT2"])], False),
    "the same flights again": ("airline", [FLIGHTS], [FLIGHTS, FLIGHTS], True),
    "flights there and back": ("airline", [FLIGHTS], [FLIGHTS, changed(FLIGHTS, cabin="business"), FLIGHTS], False),
    "flights, then cancelled": ("airline", [FLIGHTS, LEAVE], [LEAVE, FLIGHTS], False),
    "passengers, then cancelled": ("airline", [PEOPLE, LEAVE], [LEAVE, PEOPLE], True),
    "cancelled twice": ("airline", [LEAVE], [LEAVE, LEAVE], False),
    "free bags before flights": ("airline", [FLIGHTS, BAGS], [BAGS, FLIGHTS], True),
    "paid bags before flights": ("airline", [FLIGHTS, changed(BAGS, nonfree_baggages=1)], [changed(BAGS, nonfree_baggages=1), FLIGHTS], False),
    "free bags, another card of hers": ("airline", [BAGS], [LOOK, changed(BAGS, payment_id="gift_card_1")], True),
    "free bags, the expected card never seen": ("airline", [BAGS], [changed(BAGS, payment_id="gift_card_1")], False),
    "paid bags, another card of hers": ("airline", [changed(BAGS, nonfree_baggages=1)], [LOOK, changed(BAGS, nonfree_baggages=1, payment_id="gift_card_1")], False),
    "bags as a fraction": ("airline", [BAGS], [changed(BAGS, total_baggages=2.0)], False),
    "an amount as a fraction": ("airline", [BOOK], [changed(BOOK, payment_methods=[{"payment_id": "credit_card_1", "amount": 200.0}])], True),
    "a certificate as a fraction": ("airline", [CERTIFICATE], [changed(CERTIFICATE, amount=100.0)], True),
    "certificates in another order": ("airline", [CERTIFICATE, changed(CERTIFICATE, amount=50)], [changed(CERTIFICATE, amount=50), CERTIFICATE], False),
    "bookings in another order": ("airline", [BOOK, changed(BOOK, cabin="business")], [changed(BOOK, cabin="business"), BOOK], False),
    "a tool of another domain": ("airline", [], [CANCEL], False),
    "a task": ("mock", [TASK], [changed(TASK, description=None)], True),
    "a task and a status in another order": ("mock", [TASK, STATUS], [STATUS, TASK], False),
}


@pytest.mark.parametrize("case", RULE)
def test_the_rule(case):
    "Each line of the table"
    domain, wanted, calls, verdict = RULE[case]
    assert passes(domain, wanted, calls) == verdict


REASONS = [
    ("retail", [RETURN], [], "return_delivered_order_items(order_id=#W2, item_ids=[\"1\", \"2\"], payment_method_id=credit_card_1) was expected and never succeeded"),
    ("retail", [], [CANCEL], "cancel_pending_order(order_id=#W1, reason=no longer needed) succeeded and was not expected"),
    ("retail", [CANCEL], [CANCEL, CANCEL], "cancel_pending_order(order_id=#W1, reason=no longer needed) succeeded once more than expected"),
    ("retail", [CANCEL], [changed(CANCEL, reason="ordered by mistake")],
     "cancel_pending_order(order_id=#W1, reason=no longer needed) was expected and never succeeded: it succeeded with another reason"),
    ("retail", [RETURN], [failed(RETURN, "Error: timed out")], "was expected and never succeeded: it was refused (Error: timed out)"),
    ("airline", [LEAVE, FLIGHTS], [FLIGHTS, LEAVE], "cancel_reservation(reservation_id=R1) succeeded, but not in the order expected"),
    ("retail", [CANCEL], [{**CANCEL, "output": None}], "was never answered: its effect is not known"),
]


@pytest.mark.parametrize("domain, wanted, calls, why", REASONS, ids=range(len(REASONS)))
def test_a_reason_says_what_happened(domain, wanted, calls, why):
    "Of each write that is not as expected"
    assert any(why in e["why"] for e in writes(expected(wanted), calls, domain) if not e["met"])


NO_SUCH = failed(EXCHANGE, "Error: New item 3 not found or available")
ITEMS_OF = [   # domain, expected, calls (of which the first is item 10), the item of each entry
    ("retail", [CANCEL], [LOOK, CANCEL], [11]), ("retail", [CANCEL], [], [None]), ("retail", [], [LOOK, CANCEL], [11]), ("retail", [CANCEL], [CANCEL, CANCEL], [10, 11]),
    ("retail", [CANCEL, EXCHANGE], [EXCHANGE, CANCEL], [11, 10]), ("retail", [RETURN], [LOOK, failed(RETURN, "Error: timed out")], [11]),
    ("retail", [CANCEL], [changed(CANCEL, reason="ordered by mistake")], [10, 10]), ("airline", [LEAVE, FLIGHTS], [FLIGHTS, LEAVE], [11, 10]),
    ("retail", [EXCHANGE], [LOOK, NO_SUCH], [11]), ("retail", [EXCHANGE, RETURN], [EXCHANGE], [10, None]), ("retail", [HOME], [changed(HOME, zip="2"), HOME], [11]),
    ("retail", [changed(HOME, zip="2"), HOME], [HOME], [None, 10]), ("retail", [CANCEL], [{**CANCEL, "output": None}], [None, 10]), ("retail", [None], [], [None]),
]


@pytest.mark.parametrize("domain, wanted, calls, items", ITEMS_OF, ids=range(len(ITEMS_OF)))
def test_an_entry_points_at_its_call(domain, wanted, calls, items):
    "The call that made the write, or the one that came closest; none if nobody made it"
    calls = [c | {"item": n + 10} for n, c in enumerate(calls)]
    asked = [e for w in wanted for e in (expected([w]) if w else [w])]
    found = writes(asked, calls, domain)
    assert [e["item"] for e in found] == items and all(e.keys() == {"name", "met", "why", "item"} for e in found)


def test_an_expected_write_without_effect_is_met_and_says_why():
    "It is in the list, with the reason"
    entries = writes(expected([EXCHANGE, RETURN]), [EXCHANGE], "retail")
    assert [e["met"] for e in entries] == [True, True] and "has no effect: the order is exchange requested by then" in entries[1]["why"]
    [entry] = writes(expected([EXCHANGE]), [failed(EXCHANGE, "Error: New item 3 not found or available")], "retail")
    assert entry["met"] and "has no effect: it was refused (Error: New item 3 not found or available)" in entry["why"]


def test_criteria_that_are_no_actions_never_pass():
    "They are named"
    for wrong in (3, "x", [None], [{"arguments": {}}], {"x": 1}): assert not all(e["met"] for e in writes(wrong, [], "retail")), wrong


def test_the_history_of_a_task_comes_first():
    "Its writes are in the trace, and expected"
    state = {"message_history": [{"role": "assistant", "tool_calls": [{"id": "1", "name": "create_task", "arguments": {"user_id": "u1", "title": "x"}}]},
                                 {"role": "tool", "id": "1", "content": "{}"}]}
    items = [call("1", "create_task", '{"user_id": "u1", "title": "x"}'), output("1", "{}")]
    row = {"domain": "mock", "evaluation_criteria": {"actions": []}}
    assert score(row | {"initial_state": state}, items)["db"] == 1.0 and score(row, items)["db"] == 0.0


def score(row, items): return compute_scores(row, SimpleNamespace(trace={"items": items}))["scores"]


REWARDS = [   # components, basis, reward
    ({"DB": 1.0, "COMMUNICATE": 1.0}, None, 1.0), ({"DB": 1.0, "COMMUNICATE": 0.0}, None, 0.0), ({"DB": 1.0, "COMMUNICATE": 0.0}, ["DB"], 1.0), ({}, [], 1.0),
    ({"DB": 1.0, "NL_ASSERTION": "no model"}, ["DB", "NL_ASSERTION"], None), ({"DB": 0.0, "NL_ASSERTION": "no model"}, ["NL_ASSERTION", "DB"], 0.0),
    ({"DB": 1.0, "NL_ASSERTION": 1.0}, ["DB", "NL_ASSERTION"], 1.0), ({"DB": 1.0}, ["DB", "OTHER"], None), ({"DB": 0.0}, ["OTHER", "DB"], 0.0),
    ({"DB": 1.0}, "DB", None), ({"DB": 1.0}, [1], None), ({"DB": 1.0}, {"DB": 1}, None),
]


@pytest.mark.parametrize("parts, basis, reward", REWARDS)
def test_the_reward_is_the_product_of_the_basis(parts, basis, reward):
    "None where it cannot be known"
    found, why = product(parts, basis)
    assert found == reward and why


ROW = {"domain": "retail", "termination_reason": "user_stop", "evaluation_criteria": {"actions": expected([CANCEL]), "reward_basis": ["DB"]}}
ITEMS_OF_ROW = [call("1", "cancel_pending_order", json.dumps(CANCEL["args"])), output("1", "{}"), assistant("Cancelled: 1,234.50 back.")]
WHOLE = [   # columns, criteria, (reward, db)
    ({}, {}, (1.0, 1.0)), ({"termination_reason": "max_steps"}, {}, (0.0, 1.0)), ({"termination_reason": None}, {}, (1.0, 1.0)),
    ({"termination_reason": "agent_stop"}, {}, (1.0, 1.0)), ({"termination_reason": ["x"]}, {}, (0.0, 1.0)), ({}, {"actions": []}, (0.0, 0.0)),
    ({}, {"actions": None}, (1.0, 1.0)), ({}, {"actions": None, "env_assertions": []}, (0.0, 0.0)), ({"evaluation_criteria": None}, None, (1.0, None)),
    ({"evaluation_criteria": None, "domain": None}, None, (None, None)), ({"evaluation_criteria": "x"}, None, (None, None)),
    ({"evaluation_criteria": None, "termination_reason": "timeout"}, None, (0.0, None)), ({"domain": "telecom"}, {}, (None, None)), ({"domain": None}, {}, (1.0, 1.0)),
    ({}, {"reward_basis": ["DB", "NL_ASSERTION"], "nl_assertions": ["x"]}, (None, 1.0)), ({}, {"reward_basis": ["DB", "NL_ASSERTION"], "nl_assertions": []}, (1.0, 1.0)),
    ({}, {"reward_basis": ["DB", "ENV_ASSERTION"], "env_assertions": [{}]}, (None, 1.0)), ({}, {"reward_basis": ["DB", "COMMUNICATE"], "communicate_info": ["1234.50"]}, (1.0, 1.0)),
    ({}, {"reward_basis": ["DB", "COMMUNICATE"], "communicate_info": ["1234.51"]}, (0.0, 1.0)), ({}, {"reward_basis": ["ACTION"]}, (1.0, 1.0)),
    ({}, {"acceptable_outcomes": [{"actions": []}]}, (None, None)), ({}, {"acceptable_outcomes": None}, (1.0, 1.0)),
    ({"domain": "telecom"}, {"reward_basis": ["ACTION"]}, (1.0, None)), ({"domain": "telecom"}, {"actions": None}, (1.0, 1.0)),
]


@pytest.mark.parametrize("columns, criteria, verdict", WHOLE, ids=range(len(WHOLE)))
def test_a_row_is_scored(columns, criteria, verdict):
    "Reward and database match of a whole row"
    row = ROW | columns | ({} if criteria is None else {"evaluation_criteria": ROW["evaluation_criteria"] | criteria})
    made = score(row, ITEMS_OF_ROW)
    assert (made["reward"], made["db"]) == verdict


def test_a_trace_model_and_a_plain_trace_give_the_same():
    "The scorer runs on both"
    assert compute_scores(ROW, SimpleNamespace(trace=Trace.from_items(copy.deepcopy(ITEMS_OF_ROW)))) == compute_scores(ROW, SimpleNamespace(trace={"items": ITEMS_OF_ROW}))


def test_calls_that_are_text_are_not_judged():
    "A log of the first generation that holds its calls as text has none, and would pass if no write is expected"
    row = {"evaluation_criteria": {"actions": expected([LOOK]), "reward_basis": ["DB", "COMMUNICATE"]}}
    made = score(row, [user("Hi"), assistant('Action: {"name": "cancel_pending_order"}'), user("API output: {}")])
    assert made["reward"] is made["db"] is made["action_score"] is None


def test_each_tool_that_writes_has_a_part():
    "And nothing else has one"
    assert {name for kinds in KINDS.values() for name, kind in kinds.items() if kind == "write"} == set(PARTS)


@pytest.mark.parametrize("domain", ["retail", "airline"])
def test_what_passes_leaves_the_same_data(domain):
    "Thousands of expected writes and runs on a model of the shop: unless the expected writes lack money or seats, nothing passes that leaves other data; of tasks that the shop can do, nearly all passes that leaves the same"
    seen = Counter()
    for seed in range(4000):
        wanted, calls, same, refusals = episode(random.Random(seed), domain)
        met, short = all(e["met"] for e in writes(wanted, calls, domain)), any("balance" in why or "seats" in why for why in refusals)
        assert same or not met or short, (seed, wanted, calls)
        seen[same, met, not refusals] += 1
    assert seen[False, False, True] > 50 and seen[False, False, False] > 50, seen
    assert seen[True, True, True] > 0.97*(seen[True, True, True] + seen[True, False, True]) > 1000, seen


VERDICTS = {   # the graded retail, airline and mock runs of the shared logs: file -> runs with a database check, and how many of them match
    "019": (16, 1), "020": (10, 3), "021": (16, 7), "022": (20, 0), "023": (1, 0), "024": (1, 1), "031": (40, 29), "032": (21, 14), "033": (1, 1), "036": (20, 14),
    "037": (2, 2), "038": (40, 34), "048": (1, 0), "049": (4, 2), "050": (1, 0), "051": (1, 0), "052": (9, 8), "055": (1, 1), "056": (64, 64), "057": (1, 0), "059": (1, 0),
    "060": (1, 1), "061": (1, 1), "062": (1, 1), "airline__tau3": (10, 5), "airline__v02_ids": (31, 24), "airline__v02_noids": (18, 10), "retail__tau3": (7, 2),
    "retail__v02_ids": (36, 27), "retail__v02_noids": (17, 8)}


@pytest.fixture(scope="module")
def scored(shared, tmp_path_factory):
    "Every run of every shared log: file -> [(row, its scores, its metadata)]"
    out, made = tmp_path_factory.mktemp("datasets"), {}
    for path in logs("real_log") + logs("scripted_log"):
        report = convert(path, out, progress=False)
        rows = list(Dataset(report.files[0]).plain()) if report.rows else []
        made[path.name] = [(row, *compute_scores(row, SimpleNamespace(trace=row["trace"])).values()) for row in rows]
    return made


def key(name): return name.removesuffix(".json") if "__" in name else name[:3]


def test_the_database_verdict_is_the_official_one(scored):
    "Of every graded retail, airline and mock run, real and scripted; so not one passes wrongly"
    found = {}
    for name, runs in scored.items():
        judged = [(scores["db"], meta["official_db"]) for _, scores, meta in runs if scores["db"] is not None and meta["official_db"] is not None]
        assert not [pair for pair in judged if pair == (1.0, False)], name
        assert not [pair for pair in judged if pair == (0.0, True)], name
        if judged: found[key(name)] = len(judged), sum(match for _, match in judged)
    assert found == VERDICTS


def test_the_scripted_verdicts_are_those_of_the_labels(shared, scored):
    "Database, reward, actions and what was to be said, of each labelled retail and airline run"
    labels = {label["id"]: label for domain in ("airline", "retail") for label in map(json.loads, (shared/f"data/tau2/scripted/labels_{domain}.jsonl").open())}
    runs = {row["simulation_id"]: (scores, meta) for name, rows in scored.items() if "__" in name for row, scores, meta in rows}
    assert len(labels) == 120
    for id, label in labels.items():
        scores, meta = runs[id]
        assert scores["reward"] == label["reward"], label
        if label["db_match"] is not None: assert scores["db"] == label["db_match"], label
        if label["actions"]: assert [e["met"] for e in meta["actions"]] == [met for *_, met in label["actions"]], label


def test_every_entry_points_where_it_says(scored):
    "Writes and actions at a call of their tool, by whom it had to be, what was said at a message of the assistant; in every run"
    seen = Counter()
    for runs in scored.values():
        for row, _, meta in runs:
            items = row["trace"]["items"]
            for part in ("writes", "actions"):
                for e in meta[part]:
                    seen[part, e["met"], e["item"] is None] += 1
                    if e["item"] is None: assert part == "writes" or e["why"].startswith(("never called: nobody called", "this is no action"))
                    else: assert items[e["item"]]["type"] == "function_call" and items[e["item"]]["name"] == e["name"], e
                    if part == "actions" and e["met"] and items[e["item"]].get("created_by") not in (None, e["by"]): assert f"it was for the {e['by']} to call" in e["why"]
                    if part == "writes" and e["met"] and "succeeded as expected" in e["why"]: assert e["item"] is not None
            for e in meta["communicate"]:
                assert (e["item"] is None) == (not e["met"])
                if e["met"]: assert items[e["item"]]["type"] == "message" and items[e["item"]]["role"] == "assistant"
    assert seen["actions", True, False] > 1000 and seen["actions", False, False] > 50 and not seen["actions", True, True]
    assert seen["writes", True, False] > 200 and seen["writes", False, False] > 50 and seen["writes", False, True] > 50


def test_a_reward_that_is_given_is_the_official_one(scored):
    "Of every run of the known domains, and None only where words or the environment are judged, or the calls are text"
    given, unknown = Counter(), Counter()
    for name, runs in scored.items():
        for row, scores, meta in runs:
            if meta["official_reward"] is None or not (row["domain"] in KINDS or key(name) in VERDICTS): continue
            if scores["reward"] is None: unknown[meta["reason"]] += 1
            else: given[scores["reward"] == meta["official_reward"]] += 1
    assert given == {True: 396} and unknown == {"the assertions on the environment need the environment": 2}


def test_action_and_communicate_rules_agree(scored):
    "With each recorded check of every log, of all domains"
    agree = Counter()
    for runs in scored.values():
        for row, _, meta in runs:
            info = row["reward_info"] or {}
            for rule, member, verdict in (("actions", "action_checks", "action_match"), ("communicate", "communicate_checks", "met")):
                for check, e in zip(info.get(member) or (), meta[rule]): agree[rule, e["met"] == check[verdict]] += 1
    assert not agree["actions", False] and not agree["communicate", False]
    assert agree["actions", True] > 2000 and agree["communicate", True] > 100


def test_runs_of_other_domains_are_not_judged(scored):
    "Telecom and third-party domains: db is None with the reason, unless the task compares nothing"
    for runs in scored.values():
        for row, scores, meta in runs:
            if row["domain"] in (None, *KINDS) or not row["evaluation_criteria"]: continue
            assert scores["db"] is None and meta["db_reason"] == "no table tells which tools of this domain write"


def some(value): return value if isinstance(value, dict) else {}


ODD = [None, True, 0, -1.5, 10**400, float("nan"), "", "x", "\ud800", [], {}, [None], [[]], {"": None}, {"name": {}}, [{"name": "cancel_pending_order"}], {"items": 3}, object(), {1, 2}]


def mutated(value, r, share):
    "A copy with some of its parts replaced by odd ones"
    if r.random() < share: return r.choice(ODD)
    if isinstance(value, dict): return {k: mutated(v, r, share) for k, v in value.items() if r.random() > share}
    if isinstance(value, list): return [mutated(v, r, share) for v in value if r.random() > share]
    return value


FULL = {"task_id": "1", "domain": "retail", "reward": 1.0, "termination_reason": "user_stop", "reward_info": {"db_check": {"db_match": True}},
        "initial_state": {"message_history": [{"role": "assistant", "tool_calls": [{"id": "1", "name": "create_task", "arguments": {}}]}, {"role": "tool", "id": "1", "content": "{}"}]},
        "evaluation_criteria": {"actions": expected([EXCHANGE, RETURN, ITEMS, ADDRESS, FLIGHTS, BAGS, BOOK, PEOPLE, TASK, HOME, CERTIFICATE]), "reward_basis": ["DB", "COMMUNICATE"],
                                "communicate_info": ["x"], "nl_assertions": [], "env_assertions": None}}


@pytest.mark.parametrize("domain", ["retail", "airline", None])
def test_nothing_raises(domain):
    "Criteria, rows, calls and items with odd parts get a verdict; ids and outputs stay, they are the trace chapter's to check"
    calls = [order("#W1"), EXCHANGE, failed(RETURN), {**ITEMS, "output": None}, ADDRESS, FLIGHTS, BAGS, BOOK, PEOPLE, LOOK, HOME, CANCEL]
    items = [user("Hi"), *[i for n, c in enumerate(calls) for i in (call(str(n), c["name"], json.dumps(c["args"])), output(str(n), c["output"] or ""))]]
    for seed in range(400):
        r = random.Random(seed)
        row, share = FULL | {"domain": domain}, r.choice([.01, .03, .1])
        kept = [{k: v for k, v in i.items() if k in ("type", "call_id", "output")} for i in items]
        odd, trace = mutated(row, r, share), {"items": [some(mutated(i, r, share)) | k for i, k in zip(items, kept)]}
        made = compute_scores(odd, SimpleNamespace(trace=trace))
        assert made["scores"]["reward"] in (None, 0.0, 1.0) and made["scores"]["db"] in (None, 0.0, 1.0)
        args = [{**c, "args": mutated(c["args"], r, share)} for c in calls]
        for e in writes(mutated(row["evaluation_criteria"]["actions"], r, share), args, domain or "mock"): assert isinstance(e["met"], bool) and isinstance(e["why"], str)


data = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8)


@given(st.sampled_from(sorted(PARTS)), data, data)
def test_equal_forms_are_the_same_data(name, one, other):
    "For arguments that no rule knows, forms are equal only if the arguments are"
    if isinstance(one, dict): one = {f"x{k}": v for k, v in one.items()}
    if isinstance(other, dict): other = {f"x{k}": v for k, v in other.items()}
    assert (form(name, one) == form(name, other)) == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))
