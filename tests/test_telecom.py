"""The telecom scorer: its model line by line, its rules, every official verdict that there is, and inputs that nobody meant."""
import itertools
import json
import re
from collections import Counter
from types import SimpleNamespace

import pytest
from conftest import logs
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.make_sample import World as Simulator
from tracekit.pipeline import read
from tracekit.score import recorded_calls
from tracekit.scorers.telecom import (
    ASSERTIONS,
    BILLS,
    COMPONENTS,
    LINES,
    PERMISSIONS,
    PLAN_GB,
    SET_UP,
    SHOWN,
    SIGNAL,
    TECHNOLOGY,
    TOOLS,
    Account,
    Apn,
    Bill,
    Phone,
    Refused,
    World,
    action_met,
    check_assertion,
    communicated,
    compute_scores,
    decided,
    expected_world,
    is_solo,
    replay,
    same_end,
)
from tracekit.trace import Trace, assistant, call, output, user

C, L = "C1001", "L1002"
LINE = {"customer_id": C, "line_id": L}
ME = ("set_user_info", {"name": "John Smith", "phone_number": "555-123-2002"})
NO_SERVICE = {"connection": "no_service", "technology": "none", "signal": "none"}
FOUND = {"connection": "connected", "technology": "5G", "signal": "excellent"}


def made(name, by=None, args=None): return {"name": name, "args": {} if args is None else args, "created_by": by}
def state(*steps): return {"initialization_data": None, "initialization_actions": [{"env_type": "user", "func_name": name, "arguments": args} for name, args in steps]}
def changed(phone): return {name: getattr(phone, name) for name in Phone.__struct_fields__ if getattr(phone, name) != getattr(Phone(), name)}


def run(phone, *steps, table=TOOLS):
    "The phone after some methods of a table, named with their arguments"
    world = World(phone)
    for name, args in (step if isinstance(step, tuple) else (step, {}) for step in steps): world.do(table[name], args)
    return world.phone


# ---------------------------------------------------------------- the phone

BROKEN = Apn(apn_name="broken")
PHONE_TOOLS = {   # the phone before, the calls, and everything that is then not as on a new phone
    "airplane mode on": ({}, ["toggle_airplane_mode"], {"airplane_mode": True, **NO_SERVICE}),
    "airplane mode on and off": ({}, ["toggle_airplane_mode"] * 2, {"signal": "excellent"}),
    "airplane mode on drops the VPN": ({"vpn": "slow"}, ["toggle_airplane_mode"], {"airplane_mode": True, **NO_SERVICE}),
    "airplane mode off keeps a VPN": ({"vpn": "slow", "airplane_mode": True}, ["toggle_airplane_mode"], {"vpn": "slow", "signal": "excellent"}),
    "data off": ({}, ["toggle_data"], {"data": False, "signal": "excellent"}),
    "roaming on": ({}, ["toggle_roaming"], {"roaming": True, "signal": "excellent"}),
    "data saver on": ({}, ["toggle_data_saver_mode"], {"data_saver": True}),
    "Wi-Fi calling on": ({}, ["toggle_wifi_calling"], {"wifi_calling": True}),
    "Wi-Fi on": ({}, ["toggle_wifi"], {"wifi": True}),
    "Wi-Fi in airplane mode": ({"airplane_mode": True}, ["toggle_wifi"], {"airplane_mode": True}),
    "2G": ({}, [("set_network_mode_preference", {"mode": "2g_only"})], {"mode": "2g_only", "technology": "2G", "signal": "poor"}),
    "3G": ({}, [("set_network_mode_preference", {"mode": "3g_only"})], {"mode": "3g_only", "technology": "3G", "signal": "fair"}),
    "4G": ({}, [("set_network_mode_preference", {"mode": "4g_only"})], {"mode": "4g_only", "technology": "4G"}),
    "5G": ({"mode": "2g_only"}, [("set_network_mode_preference", {"mode": "4g_5g_preferred"})], {"signal": "excellent"}),
    "an unknown mode": ({}, [("set_network_mode_preference", {"mode": "5g_only"})], {}),
    "a mode that is no text": ({}, [("set_network_mode_preference", {"mode": ["2g_only"]})], {}),
    "reseat a missing SIM card": ({"sim_missing": True, **NO_SERVICE}, ["reseat_sim_card"], {"signal": "excellent"}),
    "reseat a locked SIM card": ({"sim": "locked_pin", "sim_missing": True}, ["reseat_sim_card"], {"sim": "locked_pin", **NO_SERVICE}),
    "reset APN": ({"apn": BROKEN}, ["reset_apn_settings"], {"apn": Apn("broken", True), **NO_SERVICE}),
    "reset APN and reboot": ({"apn": BROKEN}, ["reset_apn_settings", "reboot_device"], {"signal": "excellent"}),
    "reboot alone keeps the APN": ({"apn": BROKEN}, ["reboot_device"], {"apn": BROKEN, **NO_SERVICE}),
    "reboot finds the line again": ({**NO_SERVICE}, ["reboot_device"], {"signal": "excellent"}),
    "reboot without an active line": ({"line_active": False}, ["reboot_device"], {"line_active": False, **NO_SERVICE}),
    "set APN": ({"apn": Apn("broken", mmsc_url=None)}, [("set_apn_settings", {"apn_settings": {"apn_name": "internet"}})], {"signal": "excellent"}),
    "set APN to broken": ({}, [("set_apn_settings", {"apn_settings": {"apn_name": "broken"}})], {"apn": BROKEN, **NO_SERVICE}),
    "set APN, the MMSC URL unset": ({}, [("set_apn_settings", {"apn_settings": {"mmsc_url": None}})], {"apn": Apn(mmsc_url=None), "signal": "excellent"}),
    "set APN, all keys": ({}, [("set_apn_settings", {"apn_settings": {"reset_at_reboot": True, "mms_apn": "m", "mms_proxy": "p", "mms_port": "80"}})],
                          {"apn": Apn(reset_at_reboot=True, mms_apn="m", mms_proxy="p", mms_port=80), "signal": "excellent"}),
    "connect a VPN": ({}, ["connect_vpn"], {"vpn": "fast"}),
    "connect a VPN twice": ({"vpn": "slow"}, ["connect_vpn"], {"vpn": "slow"}),
    "connect a VPN after a broken one": ({"vpn": "slow", "next_vpn": "slow"}, ["disconnect_vpn", "connect_vpn"], {"vpn": "slow", "next_vpn": "slow"}),
    "disconnect a VPN": ({"vpn": "slow"}, ["disconnect_vpn"], {}),
    "grant": ({}, [("grant_app_permission", {"app_name": "messaging", "permission": "NETWORK"})],
              {"granted": {"messaging": {"sms", "storage", "phone", "network"}, "browser": {"storage", "network"}}}),
    "grant what an app has": ({}, [("grant_app_permission", {"app_name": "browser", "permission": "storage"})], {}),
    "grant to an app in other case": ({}, [("grant_app_permission", {"app_name": "Messaging", "permission": "network"})], {}),
    "grant an unknown permission": ({}, [("grant_app_permission", {"app_name": "messaging", "permission": "camera"})], {}),
    "grant to no app": ({}, [("grant_app_permission", {"app_name": None, "permission": "sms"})], {}),
    "pay without a request": ({}, ["make_payment"], {}),
    "pay": ({"payment_request": "B1"}, ["make_payment"], {"payment_request": "B1", "payment_made": True}),
}


@pytest.mark.parametrize("name", PHONE_TOOLS)
def test_a_tool_of_the_phone(name):
    before, calls, after = PHONE_TOOLS[name]
    assert changed(run(Phone(**before), *calls)) == after


PHONE_SET_UP = {
    "set_user_info": ([ME], {"phone_number": "555-123-2002"}),
    "set_user_location": ([("set_user_location", {"abroad": True})], {"abroad": True}),
    "turn_airplane_mode_on": (["turn_airplane_mode_on"], {"airplane_mode": True, **NO_SERVICE}),
    "turn_airplane_mode_on twice": (["turn_airplane_mode_on"] * 2, {"airplane_mode": True, **NO_SERVICE}),
    "turn_airplane_mode_on drops a VPN": (["turn_airplane_mode_on", "connect_vpn", "turn_airplane_mode_on"], {"airplane_mode": True, **NO_SERVICE}),
    "turn_airplane_mode_off": (["turn_airplane_mode_on", "turn_airplane_mode_off"], {"signal": "excellent"}),
    "turn_airplane_mode_off keeps a VPN": (["turn_airplane_mode_on", "connect_vpn", "turn_airplane_mode_off"], {"vpn": "fast", "signal": "excellent"}),
    "turn_airplane_mode_off when it is off": (["connect_vpn", "turn_airplane_mode_off"], {"signal": "excellent"}),
    "turn_data_off": (["turn_data_off", "turn_data_off"], {"data": False, "signal": "excellent"}),
    "turn_data_on": (["turn_data_on"], {}),
    "turn_roaming_on": (["turn_roaming_on", "turn_roaming_on"], {"roaming": True, "signal": "excellent"}),
    "turn_roaming_off": (["turn_roaming_off"], {"signal": "excellent"}),
    "turn_data_saver_mode_on": (["turn_data_saver_mode_on"], {"data_saver": True}),
    "turn_data_saver_mode_off": (["turn_data_saver_mode_on", "turn_data_saver_mode_off"], {}),
    "unseat_sim_card": (["unseat_sim_card"], {"sim_missing": True, **NO_SERVICE}),
    "lock_sim_card pin": ([("lock_sim_card", {"mode": "pin"})], {"sim": "locked_pin", **NO_SERVICE}),
    "lock_sim_card puk": ([("lock_sim_card", {"mode": "puk"})], {"sim": "locked_puk", **NO_SERVICE}),
    "lock_sim_card otherwise": ([("lock_sim_card", {"mode": ["pin"]})], {"signal": "excellent"}),
    "break_apn_settings": (["break_apn_settings"], {"apn": BROKEN, **NO_SERVICE}),
    "break_apn_mms_setting": (["break_apn_mms_setting"], {"apn": Apn(mmsc_url=None)}),
    "break_vpn": (["break_vpn"], {"vpn": "slow", "next_vpn": "slow"}),
    "set_wifi_calling": ([("set_wifi_calling", {"enabled": True, "mms_over_wifi": True})], {"wifi_calling": True, "mms_over_wifi": True}),
    "set_wifi_calling alone": ([("set_wifi_calling", {"enabled": True})], {"wifi_calling": True}),
    "remove_app_permission": ([("remove_app_permission", {"app_name": "messaging", "permission": p}) for p in ("SMS", "phone", "network")],
                              {"granted": {"messaging": {"storage"}, "browser": {"storage", "network"}}}),
    "remove_app_permission of no app": ([("remove_app_permission", {"app_name": "mail", "permission": "sms"})], {}),
    "set_network_mode_preference": ([("set_network_mode_preference", {"mode": "2g_only"})], {"mode": "2g_only", "technology": "2G", "signal": "poor"}),
    "simulate_network_search": (["simulate_network_search"], {"signal": "excellent"}),
}


@pytest.mark.parametrize("name", PHONE_SET_UP)
def test_a_set_up_function_of_the_phone(name):
    steps, after = PHONE_SET_UP[name]
    assert changed(run(Phone(), *steps, table=SET_UP)) == after
    assert name.split()[0] in SET_UP and (name.split()[0] in TOOLS) == (name == "set_network_mode_preference")


@pytest.mark.parametrize("missing, sim, airplane, apn, active", [*itertools.product((False, True), ("active", "locked_pin", "locked_puk"), (False, True), ("internet", "broken"), (True, False))])
def test_a_search_finds_a_network_unless_something_is_in_its_way(missing, sim, airplane, apn, active):
    for mode, technology in TECHNOLOGY.items():
        phone = run(Phone(sim_missing=missing, sim=sim, airplane_mode=airplane, apn=Apn(apn), line_active=active, mode=mode), "simulate_network_search", table=SET_UP)
        found = not missing and sim == "active" and not airplane and apn == "internet" and active
        assert (phone.connection, phone.technology, phone.signal) == (("connected", technology, SIGNAL[technology]) if found else ("no_service", "none", "none"))
        assert bool(phone.service_faults()) != found


FLAGS = ("airplane_mode", "data", "roaming", "abroad", "roaming_allowed", "allowance_used_up")


@pytest.mark.parametrize("network", [("connected", "5G", "good"), ("connected", "2G", "poor"), ("no_service", "none", "none"), ("searching", "5G", "none")])
def test_what_works(network):
    "Mobile data and MMS over all combinations of what they depend on"
    connection, technology, signal = network
    for values in itertools.product((False, True), repeat=len(FLAGS)):
        f = dict(zip(FLAGS, values))
        phone = Phone(connection=connection, technology=technology, signal=signal, **f)
        works = (not f["airplane_mode"] and signal != "none" and connection != "no_service" and f["data"] and not f["allowance_used_up"]
                 and (not f["abroad"] or f["roaming"] and f["roaming_allowed"]))
        assert (not phone.data_faults()) == works == (phone.speed()[1] != "No Connection")
        for calling, over, url, sms, storage in itertools.product((False, True), repeat=5):
            phone.wifi_calling, phone.mms_over_wifi, phone.apn = calling, over, Apn(mmsc_url="u" if url else None)
            phone.granted = {"messaging": {name for name, on in (("sms", sms), ("storage", storage)) if on}}
            assert (not phone.mms_faults()) == (works and technology != "2G" and not (calling and over) and url and sms and storage)


SPEEDS = [   # technology, signal, VPN, data saver: Mbps, name
    ("5G", "excellent", None, False, 275.0, "Excellent"), ("5G", "good", None, False, 220.0, "Excellent"), ("5G", "excellent", "fast", False, 275.0, "Excellent"),
    ("5G", "excellent", "slow", False, 27.5, "Good"), ("5G", "excellent", None, True, 55.0, "Good"), ("5G", "excellent", "slow", True, 5.5, "Fair"),
    ("4G", "good", None, False, 44.0, "Good"), ("4G", "good", "slow", False, 4.4, "Poor"), ("4G", "good", None, True, 8.8, "Fair"), ("4G", "good", "slow", True, 0.88, "Very Poor"),
    ("3G", "fair", None, False, 1.5, "Poor"), ("3G", "fair", None, True, 0.3, "Very Poor"), ("2G", "poor", None, False, 0.05, "Very Poor"),
    ("2G", "poor", "slow", True, 0.0, "Very Poor"), ("4G", "excellent", None, False, 55.0, "Good"),
]


@pytest.mark.parametrize("technology, signal, vpn, saver, mbps, name", SPEEDS)
def test_speed(technology, signal, vpn, saver, mbps, name):
    assert Phone(technology=technology, signal=signal, vpn=vpn, data_saver=saver).speed() == (mbps, name)


# ---------------------------------------------------------------- the account

def test_the_account_at_the_start():
    account = Account()
    lines = {id: (line.customer, line.phone_number[-4:], PLAN_GB[line.plan], line.used_gb, line.roaming, line.status, line.refuelled_gb) for id, line in account.lines.items()}
    assert lines == {
        "L1001": ("C1001", "2001", 5, 3.2, False, "Active", 0), "L1002": ("C1001", "2002", 15, 8.7, True, "Active", 0), "L1003": ("C1001", "2003", 5, 0, False, "Suspended", 0),
        "L1004": ("C1002", "2004", 999, 15.3, True, "Active", 0), "L1005": ("C1002", "2005", 999, 12.8, True, "Active", 0), "L1006": ("C1002", "2006", 999, 18.1, True, "Active", 0),
        "L1007": ("C1002", "2007", 999, 9.5, True, "Active", 0), "L1008": ("C1002", "2008", 999, 11.2, True, "Active", 0), "L1009": ("C1003", "2009", 15, 0, False, "Suspended", 0)}
    assert PLAN_GB == {"P1001": 5, "P1002": 15, "P1003": 999, "P1004": 25, "P1005": 1} and all(line.phone_number.startswith("555-123-") for line in account.lines.values())
    bills = [("B1001", C, "Paid"), ("B1002", C, "Issued"), ("B1003", C, "Draft"), ("B1004", "C1002", "Paid"), ("B1005", "C1002", "Overdue"), ("B1006", "C1003", "Disputed")]
    assert [(id, bill.customer, bill.status) for id, bill in account.bills.items()] == bills and not account.charges
    assert Account().lines[L] is not account.lines[L], "each account is its own"


ACCOUNT = {   # set-up and calls: what then differs from a new account (lines, bills, charges), or None where the last one is refused
    "suspend": ([("suspend_line", {**LINE, "reason": "r"})], {(L, "status"): "Suspended"}),
    "suspend what is suspended": ([("suspend_line", {"customer_id": C, "line_id": "L1003", "reason": "r"})], None),
    "suspend without a reason": ([("suspend_line", LINE)], None),
    "resume": ([("resume_line", {"customer_id": C, "line_id": "L1003"})], {("L1003", "status"): "Active"}),
    "resume what is active": ([("resume_line", LINE)], None),
    "enable roaming": ([("enable_roaming", {"customer_id": C, "line_id": "L1001"})], {("L1001", "roaming"): True}),
    "enable roaming again": ([("enable_roaming", LINE)], {}),
    "disable roaming": ([("disable_roaming", LINE)], {(L, "roaming"): False}),
    "another customer's line": ([("disable_roaming", {"customer_id": "C1002", "line_id": L})], None),
    "a line that is no text": ([("disable_roaming", {"customer_id": C, "line_id": [L]})], None),
    "refuel": ([("refuel_data", {**LINE, "gb_amount": 2.0})], {(L, "refuelled_gb"): 2.0, "charges": [(C, "2.0 GB")]}),
    "refuel twice": ([("refuel_data", {**LINE, "gb_amount": 1})] * 2, {(L, "refuelled_gb"): 2.0, "charges": [(C, "1 GB")] * 2}),
    "refuel true": ([("refuel_data", {**LINE, "gb_amount": True})], {(L, "refuelled_gb"): 1.0, "charges": [(C, "True GB")]}),
    **{f"refuel {bad!r:.20}": ([("refuel_data", {**LINE, "gb_amount": bad})], None) for bad in (0, -1, False, "2.0", None, [2], 10**400)},
    "request a payment": ([("send_payment_request", {"customer_id": C, "bill_id": "B1002"})], {"B1002": "Awaiting Payment"}),
    "request payment of a paid bill": ([("send_payment_request", {"customer_id": C, "bill_id": "B1001"})], {"B1001": "Awaiting Payment"}),
    "request a second payment": ([("send_payment_request", {"customer_id": C, "bill_id": b}) for b in ("B1002", "B1001")], None),
    "request payment of another's bill": ([("send_payment_request", {"customer_id": C, "bill_id": "B1005"})], None),
    "request payment of no bill": ([("send_payment_request", {"customer_id": C, "bill_id": None})], None),
    "set_data_usage": ([("set_data_usage", {**LINE, "data_used_gb": 15.1})], {(L, "used_gb"): 15.1}),
    "set_data_usage to text": ([("set_data_usage", {**LINE, "data_used_gb": "15.1"})], None),
    "suspend for a bill": ([("suspend_line_for_overdue_bill", {**LINE, "new_bill_id": "B9", "contract_ended": True})], {(L, "status"): "Suspended", "B9": "Overdue"}),
    "suspend for a second bill": ([("suspend_line_for_overdue_bill", {"customer_id": C, "line_id": line, "new_bill_id": "B9", "contract_ended": False}) for line in (L, "L1001")], None),
    "suspend a suspended line for a bill": ([("suspend_line_for_overdue_bill", {"customer_id": C, "line_id": "L1003", "new_bill_id": "B9", "contract_ended": False})], None),
    "suspend for no bill": ([("suspend_line_for_overdue_bill", {**LINE, "new_bill_id": {}, "contract_ended": False})], None),
}


def facts(account):
    "Everything an account holds, flat"
    return {**{(id, name): getattr(line, name) for id, line in account.lines.items() for name in line.__struct_fields__},
            **{id: bill.status for id, bill in account.bills.items()}, "charges": account.charges}


@pytest.mark.parametrize("name", ACCOUNT)
def test_a_method_of_the_account(name):
    steps, after = ACCOUNT[name]
    world, new = World(), facts(Account())
    for method, args in steps[:-1]: world.do(SET_UP[method], args)
    before = facts(world.account)
    if after is None:
        with pytest.raises(Refused): world.do(SET_UP[steps[-1][0]], steps[-1][1])
        assert facts(world.account) == before
        return
    world.do(SET_UP[steps[-1][0]], steps[-1][1])
    assert {k: v for k, v in facts(world.account).items() if new.get(k) != v} == after


# ---------------------------------------------------------------- both together

def played(initial, *calls, solo=False): return replay(initial, calls, solo)[0]


def test_the_allowance_ends_where_plan_and_refuels_end():
    for used, refuels, used_up in ((14.9, 0, False), (15.0, 0, True), (15.1, 0, True), (15.1, 1, False), (17.1, 2, True), (17.0, 2, True), (16.9, 2, False)):
        world = played(state(ME, ("set_data_usage", {**LINE, "data_used_gb": used})), *[made("refuel_data", "assistant", {**LINE, "gb_amount": 1.0})] * refuels)
        assert world.phone.allowance_used_up == used_up


def test_roaming_of_the_line_reaches_the_phone():
    world = played(state(ME, ("set_user_location", {"abroad": True}), ("turn_roaming_on", {}), ("disable_roaming", LINE)))
    assert world.phone.data_faults() == ["roaming is off on the line while abroad"]
    world.play([made("enable_roaming", "assistant", LINE)])
    assert not world.phone.data_faults()


def test_a_suspended_line_from_bill_to_reboot():
    suspended = state(ME, ("suspend_line_for_overdue_bill", {**LINE, "new_bill_id": "B1234321", "contract_ended": False}), ("simulate_network_search", {}))
    world = played(suspended)
    assert world.phone.connection == "no_service" and world.phone.payment_request is None
    steps = [(made("make_payment", "user"), "Overdue", None), (made("send_payment_request", "assistant", {"customer_id": C, "bill_id": "B1234321"}), "Awaiting Payment", "B1234321"),
             (made("make_payment", "user"), "Paid", None), (made("make_payment", "user"), "Paid", None)]
    for step, status, request in steps:
        world.play([step])
        assert (world.account.bills["B1234321"].status, world.phone.payment_request, world.phone.payment_made) == (status, request, False)
    world.play([made("resume_line", "assistant", LINE)])
    assert world.phone.line_active and world.phone.service_faults() == ["it has not looked for a network since the fault was mended"]
    world.play([made("reboot_device", "user")])
    assert not world.phone.service_faults()


def test_a_phone_without_a_line_is_left_alone():
    for phone_number in (None, "555-000-0000", 5, ["555-123-2002"]):
        world = World(Phone(phone_number=phone_number))
        world.sync()
        assert changed(world.phone) == ({} if phone_number is None else {"phone_number": phone_number})


@pytest.mark.parametrize("by, solo, phone, account", [
    ("user", False, True, False), ("assistant", False, False, True), ("user", True, False, False), ("assistant", True, True, True),
    (None, False, True, True), ("system", False, False, False), (["user"], False, False, False)])
def test_who_may_call(by, solo, phone, account):
    world = played(None, made("toggle_data", by), made("disable_roaming", by, LINE), solo=solo)
    assert (not world.phone.data, not world.account.lines[L].roaming) == (phone, account)


@pytest.mark.parametrize("sample, items, solo", [
    ({}, [assistant("a")], True), ({}, [assistant("a"), user("u")], False), ({}, [call("1", "f", "{}", created_by="user")], False),
    ({}, [call("1", "f", "{}", created_by="assistant")], True), ({"solo": True}, [user("u")], True), ({"solo": False}, [assistant("a")], False), ({"solo": None}, [], True)])
def test_solo(sample, items, solo):
    assert is_solo(sample, {"items": items}) == is_solo(sample, Trace.from_items(items)) == solo


def test_bad_arguments_change_nothing():
    for args in ({"x": 1}, {"self": 1}, [], "text", None, 5, {"mode": "2g_only", "x": 1}, {}):
        for name in ("set_network_mode_preference",) if args == {} else ("toggle_data", "set_network_mode_preference"):
            assert played(None, {"name": name, "args": args, "created_by": "user"}) == World(), (name, args)


@pytest.mark.parametrize("name", ["search", "change", "data_faults", "sync", "line", "bill", "bills_of", "do", "play", "load", "set_up", "__init__", "__class__", "assert_can_send_mms",
                                  "_PhoneTools", "used_up", "obstacles", "", None, 5, [], {}, "toggle_data "])
def test_data_reaches_only_the_tables(name):
    assert played(None, made(name, "user"), made(name, "assistant")) == World()
    world = World()
    assert len(world.set_up({"initialization_actions": [{"func_name": name, "arguments": {}}]})) == 1 and world == World()
    verdict = check_assertion(World(), {"func_name": name, "arguments": {"expected_status": True}, "assert_value": False})
    assert not verdict["met"] and verdict["why"].startswith("unsupported") == (name != "assert_can_send_mms")


def test_set_up_functions_are_no_tools():
    for name in SET_UP.keys() - TOOLS.keys():
        args = {n: True for n in SET_UP[name].takes}
        assert played(None, made(name, "user", args), made(name, "assistant", args)) == World()
    assert len(TOOLS) == 21 and len(SET_UP) == 41 and all(name.startswith("assert_") for name in ASSERTIONS)


def test_initialization_data():
    world = World()
    skipped = world.set_up({"initialization_data": {
        "user_data": {"device": {"airplane_mode": True, "network_mode_preference": "9g", "colour": "red"}, "surroundings": {"is_abroad": True, "phone_number": "555-123-2002"}, "x": 5},
        "agent_data": {"lines": [{"line_id": L, "data_used_gb": 20, "roaming_enabled": False}, {"line_id": "L9"}, 5], "bills": [{"bill_id": "B1002", "status": "Paid"}], "plans": [{"a": 1}]}},
        "initialization_actions": [{"func_name": "simulate_network_search", "arguments": None}]})
    assert skipped == ["network_mode_preference", "colour", "lines", "lines", "plans"]
    assert changed(world.phone) == {"phone_number": "555-123-2002", "abroad": True, "airplane_mode": True, "allowance_used_up": True, **NO_SERVICE}
    assert world.account.bills["B1002"].status == "Paid"


def test_a_line_that_waits_for_activation_can_be_resumed():
    pending = {"initialization_data": {"agent_data": {"lines": [{"line_id": L, "status": "Pending Activation"}]}}}
    for name, status in (("resume_line", "Active"), ("suspend_line", "Pending Activation")):
        args = LINE | ({"reason": "r"} if name == "suspend_line" else {})
        assert played(pending, made(name, "assistant", args)).account.lines[L].status == status


# ---------------------------------------------------------------- assertions

OVERDUE = ("suspend_line_for_overdue_bill", {**LINE, "new_bill_id": "B9", "contract_ended": False})
CHECKS = [   # the set-up, the assertion, its arguments, whether it holds (None: cannot be checked), words of the reason
    ([], "assert_service_status", {"expected_status": "connected"}, True, "the phone is connected"),
    ([], "assert_service_status", {"expected_status": "no_service"}, False, "the phone is connected"),
    (["unseat_sim_card"], "assert_service_status", {"expected_status": "no_service"}, True, "the SIM card is missing"),
    (["unseat_sim_card"], "assert_service_status", {"expected_status": "searching"}, False, "the SIM card is missing"),
    ([("lock_sim_card", {"mode": "pin"})], "assert_service_status", {"expected_status": "connected"}, False, "the SIM card is locked"),
    ([], "assert_service_status", {"expected_status": "lost"}, None, "there is no status 'lost'"),
    ([], "assert_service_status", {}, None, "it takes the arguments (expected_status)"),
    ([], "assert_mobile_data_status", {"expected_status": True}, True, "mobile data works"),
    ([], "assert_mobile_data_status", {"expected_status": False}, False, "mobile data works"),
    ([], "assert_mobile_data_status", {"expected_status": 1}, True, "mobile data works"),
    ([], "assert_mobile_data_status", {"expected_status": "true"}, False, "mobile data works"),
    (["turn_data_off"], "assert_mobile_data_status", {"expected_status": False}, True, "the data switch is off"),
    ([ME, ("disable_roaming", LINE), ("set_user_location", {"abroad": True}), "turn_roaming_on"], "assert_mobile_data_status", {"expected_status": True}, False,
     "mobile data does not work: roaming is off on the line while abroad"),
    ([ME, ("set_user_location", {"abroad": True})], "assert_mobile_data_status", {"expected_status": True}, False, "roaming is off on the phone while abroad"),
    ([ME, ("set_data_usage", {**LINE, "data_used_gb": 15.1})], "assert_mobile_data_status", {"expected_status": True}, False, "the data allowance is used up"),
    ([], "assert_internet_speed", {"expected_speed": 200, "expected_desc": "excellent"}, True, "220 Mbps (Excellent), expected at least 200 (excellent)"),
    ([], "assert_internet_speed", {"expected_speed": 220}, True, "220 Mbps"),
    ([], "assert_internet_speed", {"expected_speed": 220.01}, False, "expected at least 220.01"),
    ([], "assert_internet_speed", {"expected_speed": 1, "expected_desc": "GOOD"}, False, "(Excellent), expected at least 1 (GOOD)"),
    ([], "assert_internet_speed", {"expected_speed": 1, "expected_desc": None}, True, "Excellent"),
    (["break_vpn"], "assert_internet_speed", {"expected_speed": 200, "expected_desc": "excellent"}, False, "the VPN is slow"),
    (["turn_data_saver_mode_on"], "assert_internet_speed", {"expected_speed": 200}, False, "data saver is on"),
    ([("set_network_mode_preference", {"mode": "3g_only"})], "assert_internet_speed", {"expected_speed": 200}, False, "the network is only 3G"),
    (["turn_data_off"], "assert_internet_speed", {"expected_speed": 0, "expected_desc": "no connection"}, True, "0 Mbps"),
    (["turn_data_off"], "assert_internet_speed", {"expected_speed": 1}, False, "the data switch is off"),
    ([], "assert_internet_speed", {"expected_speed": "200"}, None, "expected_speed is '200', not a number"),
    ([], "assert_internet_speed", {"expected_speed": 1, "expected_desc": 5}, None, "expected_desc is 5, not text"),
    ([], "assert_internet_speed", {"expected_speed": 10**400}, None, "too large"),
    ([], "assert_internet_speed", {"expected_speed": float("nan")}, False, "expected at least nan"),
    ([], "assert_internet_not_excellent", {}, False, "Excellent"),
    (["break_vpn"], "assert_internet_not_excellent", {}, True, "22 Mbps (Fair)"),
    (["turn_data_off"], "assert_internet_not_excellent", {}, True, "No Connection"),
    ([], "assert_can_send_mms", {"expected_status": True}, True, "MMS works"),
    (["break_apn_mms_setting"], "assert_can_send_mms", {"expected_status": True}, False, "the MMSC URL is not set"),
    ([("remove_app_permission", {"app_name": "messaging", "permission": "sms"})], "assert_can_send_mms", {"expected_status": False}, True, "lacks the permission sms"),
    ([("set_wifi_calling", {"enabled": True, "mms_over_wifi": True})], "assert_can_send_mms", {"expected_status": True}, False, "Wi-Fi calling"),
    ([("set_network_mode_preference", {"mode": "2g_only"})], "assert_can_send_mms", {"expected_status": True}, False, "only 2G"),
    ([], "assert_airplane_mode_status", {"expected_status": False}, True, "airplane mode is off"),
    (["turn_airplane_mode_on"], "assert_airplane_mode_status", {"expected_status": False}, False, "airplane mode is on"),
    ([], "assert_mobile_roaming_status", {"expected_status": True}, False, "roaming on the phone is off"),
    (["turn_roaming_on"], "assert_mobile_roaming_status", {"expected_status": True}, True, "roaming on the phone is on"),
    (["turn_data_saver_mode_on"], "assert_mobile_data_saver_mode_status", {"expected_status": True}, True, "data saver is on"),
    ([], "assert_mobile_data_saver_mode_status", {"expected_status": True}, False, "data saver is off"),
    ([ME, ("set_data_usage", {**LINE, "data_used_gb": 15.1})], "assert_mobile_data_usage_exceeded", {"expected_status": True}, True, "the data allowance is used up"),
    ([ME], "assert_mobile_data_usage_exceeded", {"expected_status": True}, False, "not used up"),
    ([], "assert_no_overdue_bill", {"overdue_bill_id": "B9"}, True, "there is no bill 'B9'"),
    ([], "assert_no_overdue_bill", {"overdue_bill_id": ["B9"]}, True, "there is no bill"),
    ([], "assert_no_overdue_bill", {"overdue_bill_id": "B1001"}, True, "bill B1001 is Paid"),
    ([], "assert_no_overdue_bill", {"overdue_bill_id": "B1002"}, False, "bill B1002 is Issued"),
    ([OVERDUE], "assert_no_overdue_bill", {"overdue_bill_id": "B9"}, False, "bill B9 is Overdue"),
    ([OVERDUE], "assert_overdue_bill_exists", {"customer_id": C, "overdue_bill_id": "B9"}, True, "bill B9 is Overdue"),
    ([], "assert_overdue_bill_exists", {"customer_id": C, "overdue_bill_id": "B9"}, None, "has no bill 'B9'"),
    ([], "assert_overdue_bill_exists", {"customer_id": C, "overdue_bill_id": "B1005"}, None, "has no bill 'B1005'"),
    ([], "assert_overdue_bill_exists", {"customer_id": C, "overdue_bill_id": "B1001"}, None, "bill B1001 is Paid"),
    ([("refuel_data", {**LINE, "gb_amount": 0.1})] * 20, "assert_data_refueling_amount", {**LINE, "expected_amount": 2.0}, True, "2 GB were refuelled"),
    ([("refuel_data", {**LINE, "gb_amount": 2.00001})], "assert_data_refueling_amount", {**LINE, "expected_amount": 2.0}, False, "expected 2"),
    ([("refuel_data", {**LINE, "gb_amount": float("nan")})], "assert_data_refueling_amount", {**LINE, "expected_amount": 2.0}, False, "nan GB"),
    ([("refuel_data", {**LINE, "gb_amount": 1e308})] * 2, "assert_data_refueling_amount", {**LINE, "expected_amount": 2.0}, False, "inf GB"),
    ([], "assert_data_refueling_amount", {"customer_id": C, "line_id": "L9", "expected_amount": 0}, None, "customer 'C1001' has no line 'L9'"),
    ([], "assert_data_refueling_amount", {**LINE, "expected_amount": "2"}, None, "expected_amount is '2', not a number"),
    ([], "assert_line_status", {**LINE, "expected_status": "Active"}, True, "line L1002 is Active"),
    ([OVERDUE], "assert_line_status", {**LINE, "expected_status": "Active"}, False, "line L1002 is Suspended, expected 'Active'"),
    ([], "assert_line_status", {"customer_id": "C1002", "line_id": L, "expected_status": "Active"}, None, "has no line"),
]


@pytest.mark.parametrize("steps, name, args, holds, why", CHECKS, ids=lambda v: v if isinstance(v, str) and v.startswith("assert_") else "")
def test_an_assertion(steps, name, args, holds, why):
    "And its opposite, with assert_value false; one that cannot be checked fails both ways"
    world = World()
    assert not world.set_up(state(*[s if isinstance(s, tuple) else (s, {}) for s in steps]))
    for value, met in ((True, holds is True), (None, holds is True), (False, holds is False)):
        verdict = check_assertion(world, {"env_type": "user", "func_name": name, "arguments": args, "assert_value": value})
        assert (verdict["name"], verdict["met"]) == (name, met) and why in verdict["why"], verdict


def test_every_assertion_is_in_the_table():
    assert {name for _, name, *_ in CHECKS} == set(ASSERTIONS)


# ---------------------------------------------------------------- rules

def wanted(compare=None, **args): return {"name": "f", "requestor": "user", "arguments": args, "compare_args": compare}


RULES = [   # the expected action, the arguments of the recorded calls of f, met, why
    (wanted(a=1), [{"a": 1}], True, ""),
    (wanted(a=1), [{"a": 2}], False, " with a 2, expected 1"),
    (wanted(a=1, b=2), [{"a": 1}], True, ""),
    (wanted(a=1), [{}], True, ""),
    (wanted(a=1), [{"a": 1, "b": 2}], False, " with b 2, expected none"),
    (wanted(a=1), [], False, "nobody called f"),
    (wanted(["a"], a=1, b=2), [{"a": 1, "b": 3, "c": 4}], True, ""),
    (wanted(["a"], a=1), [{"b": 3}], False, " without a, expected 1"),
    (wanted(["z"], a=1), [{"b": 3}], True, ""),
    (wanted(["z"]), [{"z": 3}], False, " with z 3, expected none"),
    (wanted([], a=1), [{"a": 2}], True, ""),
    (wanted([]), ["no JSON"], True, ""),
    (wanted([5, None, ["a"], "a"], a=1), [{"a": 1}], True, ""),
    (wanted("a", a=1), [{"a": 1}], True, ""),
    (wanted(a=2.0), [{"a": 2}], True, ""),
    (wanted(a=2), [{"a": "2"}], False, " with a '2', expected 2"),
    (wanted(a=None), [{"a": None}], True, ""),
    (wanted(a=[1, {"b": 2}]), [{"a": [1, {"b": 2.0}]}], True, ""),
    (wanted(a=[1, 2]), [{"a": [2, 1]}], False, " with a [2, 1], expected [1, 2]"),
    (wanted(a=1, b=2), [{"a": 5, "b": 6}, {"a": 1, "b": 3}, {"a": 7, "b": 8}], False, " with b 3, expected 2; 2 other calls of it come no closer"),
    (wanted(a=1), [{"a": 5}, {"a": 1}], True, ""),
    (wanted(a=1), ["no JSON"], False, " with 'no JSON', expected a 1"),
    (wanted(a=1), [[1]], False, " with [1], expected a 1"),
    (wanted(a="x" * 100), [{"a": "y"}], False, " with a 'y', expected '" + "x" * 56 + "..."),
    ({"name": "f"}, [{}], True, ""), ({"name": "f", "arguments": None}, [{"a": 1}], False, " with a 1, expected none"),
    ({"name": None}, [{}], False, "nobody called None"), ({}, [{}], False, "nobody called None"), ({"name": ["f"]}, [{}], False, "nobody called ['f']"),
    (None, [{}], False, "this is no action: None"), ("f", [{}], False, "this is no action: 'f'"),
]


@pytest.mark.parametrize("expected, args, met, why", RULES)
def test_the_action_rule(expected, args, met, why):
    "By whom and whether it failed does not count, but the reason says it"
    for by in ("user", "assistant", None):
        calls = [made("f", by, a) | {"failed": by is None, "item": n + 5} for n, a in enumerate(args)] + [made("g", by, {"a": 1}) | {"failed": False, "item": 99}]
        found = action_met(expected, calls)
        assert found.met == met and (why in found.why)
        if found.item is None: assert not found.why.startswith("called") and not met
        else:
            side = by or "user"
            assert found.why.startswith(f"called{by and f' by the {by}' or ''} at item {found.item}") and calls[found.item - 5]["name"] == "f"
            assert ("counts all the same" in found.why) == (met and (by is None or side != (expected.get("requestor") or "assistant")))


def test_the_call_that_decides_is_the_best_one():
    "Of calls that match one by the right side that worked; of others the closest"
    one, other = {"a": 1, "b": 2}, {"a": 1, "b": 3}
    calls = [made("f", "assistant", one), made("f", "user", other), made("f", "user", one), made("f", "user", one)]
    calls = [c | {"item": n, "failed": n == 2} for n, c in enumerate(calls)]
    assert action_met(wanted(**one), calls) == (True, "called by the user at item 3", 3)
    assert action_met(wanted(**one), calls[:3]) == (True, "called by the user at item 2; it failed, and counts all the same", 2)
    assert action_met(wanted(**one), calls[:1]) == (True, "called by the assistant at item 0; it was for the user to call, and counts all the same", 0)
    assert action_met(wanted(a=5, b=5), calls[:2])[2] == 1 and action_met(wanted(a=5, b=3), calls)[2] == 1


def test_one_call_satisfies_several_actions():
    sample = {"evaluation_criteria": {"actions": [wanted(a=1), wanted(a=1), wanted(b=5)], "reward_basis": ["ACTION"]}}
    result = compute_scores(sample, SimpleNamespace(trace={"items": [call("1", "f", '{"a": 1}', created_by="user")]}))
    assert [v["met"] for v in result["metadata"]["actions"]] == [True, True, False] and result["scores"]["action_coverage"] == 2 / 3 and result["scores"]["reward"] == 0


@pytest.mark.parametrize("text, found", [
    ("total", True), ("TOTAL", True), ("1250.50", True), ("1,250.50", False), ("two parts", False), ("two", True), ("parts", True), ("question", False), ("", True),
    (None, False), (5, False), (["total"], False), ("a, b", False), ("a b", True)])
def test_what_was_said(text, found):
    items = [user("my question"), assistant("The Total is $1,250.50"), assistant("Two"), assistant("parts a, b")]
    assert communicated(text, {"items": items})[0] == communicated(text, Trace.from_items(items))[0] == found
    assert not communicated(text, {"items": []})[0] and not communicated(text, None)[0]


def judged(criteria, items=(), **columns):
    result = compute_scores({"evaluation_criteria": criteria, **columns}, SimpleNamespace(trace={"items": list(items)}))
    return result["scores"]["reward"], result["metadata"]["reason"]


SERVICE = {"env_type": "user", "func_name": "assert_service_status", "arguments": {"expected_status": "connected"}, "assert_value": True}
REWARDS = [   # criteria, reward, a word of the reason
    (None, 1.0, None), ({}, 1.0, None), ({"reward_basis": []}, 1.0, None), ([], None, "the criteria are no object"), ("x", None, "the criteria are no object"),
    ({"actions": None, "env_assertions": None, "communicate_info": None, "nl_assertions": None, "reward_basis": None}, 1.0, None),
    ({"env_assertions": [SERVICE], "reward_basis": ["ENV_ASSERTION"]}, 1.0, None),
    ({"env_assertions": [SERVICE | {"assert_value": False}], "reward_basis": ["ENV_ASSERTION"]}, 0.0, "the rule asks for the opposite"),
    ({"env_assertions": [SERVICE | {"assert_value": False}], "reward_basis": ["ACTION"]}, 1.0, None),
    ({"env_assertions": [SERVICE], "actions": [wanted()], "reward_basis": ["ENV_ASSERTION", "ACTION"]}, 0.0, "never called"),
    ({"env_assertions": [SERVICE], "actions": [wanted()], "reward_basis": ["ENV_ASSERTION"]}, 1.0, None),
    ({"nl_assertions": ["polite"], "reward_basis": ["NL_ASSERTION"]}, None, "only a judge can tell"),
    ({"nl_assertions": [], "reward_basis": ["NL_ASSERTION"]}, 1.0, None), ({"nl_assertions": None, "reward_basis": ["NL_ASSERTION"]}, 1.0, None),
    ({"nl_assertions": ["polite"], "actions": [wanted()], "reward_basis": ["NL_ASSERTION", "ACTION"]}, 0.0, "never called"),
    ({"nl_assertions": ["polite"], "reward_basis": ["ENV_ASSERTION"]}, 1.0, None),
    ({"communicate_info": ["yes"], "reward_basis": ["COMMUNICATE"]}, 0.0, "no message of the assistant says 'yes'"),
    ({"communicate_info": ["hello"], "reward_basis": ["COMMUNICATE"]}, 1.0, None), ({"communicate_info": ["yes"]}, 0.0, "says 'yes'"),
    ({"actions": [], "reward_basis": ["DB"]}, 1.0, None),
    ({"actions": [{"name": "toggle_data", "requestor": "user", "arguments": {}}], "reward_basis": ["DB"]}, 0.0, "phone data, phone signal"),
    ({"actions": [{"name": "toggle_data", "requestor": "assistant", "arguments": {}}, {"name": "f"}, 5], "reward_basis": ["DB"]}, 1.0, None),
    ({"actions": [{"name": "refuel_data", "arguments": {**LINE, "gb_amount": 2.0}}]}, 0.0, "account lines, account charges"),
    ({"reward_basis": ["MOOD"]}, None, "no such component"), ({"reward_basis": ["reward"]}, None, "no such component"), ({"reward_basis": [["ACTION"], None]}, None, "no such component"),
    ({"actions": [5], "reward_basis": ["ACTION"]}, 0.0, "this is no action: 5"), ({"actions": "f", "reward_basis": ["ACTION"]}, 0.0, "this is no action: 'f'"),
    ({"env_assertions": [5], "reward_basis": ["ENV_ASSERTION"]}, 0.0, "unsupported"), ({"env_assertions": SERVICE, "reward_basis": ["ENV_ASSERTION"]}, 1.0, None),
]


@pytest.mark.parametrize("criteria, reward, why", REWARDS)
def test_the_reward(criteria, reward, why):
    got, reason = judged(criteria, [assistant("Hello")], domain="telecom", termination_reason="user_stop")
    assert got == reward and (reason is None if why is None else why in reason)
    assert judged(criteria, [assistant("Hello")], termination_reason=None)[0] == judged(criteria, [assistant("Hello")], termination_reason="agent_stop")[0] == reward


@pytest.mark.parametrize("ended", ["max_steps", "too_many_errors", "agent_error", "user_error", "infrastructure_error", "timeout", "context_window_exceeded", "unexpected_error", "", 5, ["user_stop"]])
def test_a_run_that_ended_early_gets_nothing_and_is_not_checked(ended):
    for criteria in (None, {"env_assertions": [SERVICE], "actions": [wanted()], "reward_basis": ["ENV_ASSERTION"]}):
        result = compute_scores({"termination_reason": ended, "evaluation_criteria": criteria, "reward": 0.0}, SimpleNamespace(trace={"items": []}))
        assert result["scores"] == {"reward": 0.0, "action": None, "env_assertion": None, "action_coverage": None}
        assert result["metadata"]["env"] == result["metadata"]["actions"] == [] and "ended early" in result["metadata"]["reason"] and result["metadata"]["official_reward"] == 0.0


def test_the_database_of_another_domain_is_unknown():
    assert judged({"actions": [], "reward_basis": ["DB"]}, domain="retail") == (None, "DB: this scorer has no database of 'retail'")
    assert judged({"actions": [], "reward_basis": ["DB"]}, domain="telecom-workflow") == (1.0, None)


def test_what_is_not_understood_is_named():
    sample = {"initial_state": {"initialization_data": {"user_data": {"device": {"colour": "red"}}}, "initialization_actions": [{"func_name": "drop"}, 5, {"func_name": "set_data_usage"}]},
              "evaluation_criteria": {"env_assertions": [{"func_name": "assert_mood", "assert_value": False}, {"func_name": "assert_mood"}, SERVICE], "reward_basis": ["ENV_ASSERTION"]}}
    result = compute_scores(sample, SimpleNamespace(trace={"items": []}))
    assert result["metadata"]["unsupported"] == ["colour", "drop", "None", "set_data_usage", "assert_mood"] and result["scores"]["reward"] == 0.0
    assert [v["met"] for v in result["metadata"]["env"]] == [False, False, True]


def test_expected_actions_are_made_without_synchronising():
    "As on the benchmark's second environment: a payment request does not reach the phone there; message_history is played with it"
    overdue = state(ME, OVERDUE)
    steps = [("send_payment_request", "assistant", {"customer_id": C, "bill_id": "B9"}), ("make_payment", "user", {})]
    expected = expected_world(overdue, [{"name": n, "requestor": by, "arguments": a} for n, by, a in steps])
    assert expected.account.bills["B9"].status == "Awaiting Payment" and not same_end(played(overdue, *[made(*step) for step in steps]), expected)[0]
    history = [{"role": by, "tool_calls": [{"name": n, "arguments": a}]} for n, by, a in steps]
    assert same_end(played(overdue, *[made(*step) for step in steps]), expected_world(overdue | {"message_history": history}, None)) == (True, "the end state is the expected one")


def test_scoring_leaves_no_trace():
    "The same sample twice, and the sample itself as it was"
    sample = {"initial_state": state(ME, ("turn_data_off", {}), ("remove_app_permission", {"app_name": "messaging", "permission": "sms"})), "evaluation_criteria": {
        "actions": [wanted(a=1)], "env_assertions": [SERVICE], "reward_basis": ["DB", "ENV_ASSERTION"]}}
    trace = {"items": [call("1", "grant_app_permission", '{"app_name": "messaging", "permission": "sms"}', created_by="user"), output("1", "ok")]}
    before = json.dumps([sample, trace])
    assert compute_scores(sample, SimpleNamespace(trace=trace)) == compute_scores(sample, SimpleNamespace(trace=trace)) and json.dumps([sample, trace]) == before
    assert World() == World() and Account().lines == {id: type(Account().lines[L])(*line) for id, line in LINES.items()} and len(Account().bills) == len(BILLS)


def shows(item, name, output=None, by="user", **args): return made(name, by, args) | {"item": item, "output": output, "failed": False}


DATA = {"func_name": "assert_mobile_data_status", "arguments": {"expected_status": True}}
AMOUNT = {"func_name": "assert_data_refueling_amount", "arguments": {**LINE, "expected_amount": 2.0}}
BILL_PAID = {"func_name": "assert_no_overdue_bill", "arguments": {"overdue_bill_id": "B9"}}
REFUELLED = shows(7, "refuel_data", "{}", "assistant", **LINE, gb_amount=2.0)
DECIDING = {   # the assertion, the calls, the item that decided it
    "nothing happened": (DATA, [], None),
    "a change": (DATA, [shows(3, "toggle_data")], 3),
    "the last change": (DATA, [shows(3, "toggle_data"), shows(5, "toggle_data"), shows(7, "toggle_data_saver_mode")], 5),
    "another reason is a change": (DATA, [shows(3, "toggle_data"), shows(5, "toggle_airplane_mode")], 5),
    "a call of the wrong side changes nothing": (DATA, [shows(3, "toggle_data", by="assistant")], None),
    "shown, never changed": (DATA, [shows(4, "run_speed_test", "Speed Test Result: 220")], 4),
    "shown after the change": (DATA, [shows(3, "toggle_data"), shows(4, "run_speed_test", "No Connection")], 4),
    "shown before the change": (DATA, [shows(2, "run_speed_test", "Result"), shows(3, "toggle_data")], 3),
    "shown, but it failed": (DATA, [shows(4, "run_speed_test", "Error: no") | {"failed": True}], None),
    "asked, never answered": (DATA, [shows(4, "run_speed_test")], None),
    "the bar does not show whether data works": (DATA, [shows(4, "check_status_bar", "Status Bar: x")], None),
    "the refuelling": (AMOUNT, [REFUELLED], 7),
    "another line": (AMOUNT, [shows(7, "refuel_data", "{}", "assistant", **LINE | {"line_id": "L1001"}, gb_amount=2.0)], None),
    "the usage of the line": (AMOUNT, [REFUELLED, shows(9, "get_data_usage", '{"line_id": "L1002"}', "assistant")], 9),
    "the usage of another line": (AMOUNT, [REFUELLED, shows(9, "get_data_usage", '{"line_id": "L1001"}', "assistant")], 7),
    "a bill by its id": (BILL_PAID, [shows(2, "get_details_by_id", '{"bill_id": "B9"}', "assistant")], 2),
    "an assertion that nobody knows": ({"func_name": "assert_mood"}, [shows(3, "toggle_data")], None),
    "an assertion without a name": (None, [shows(3, "toggle_data")], None),
}


@pytest.mark.parametrize("name", DECIDING)
def test_the_item_that_decides_an_assertion(name):
    assertion, calls, item = DECIDING[name]
    world = World(Phone(phone_number="555-123-2002"))
    [check] = decided(world, [assertion], calls)
    other = World(Phone(phone_number="555-123-2002"))
    other.play(calls)
    assert check["item"] == item and world == other and check | {"item": None} == check_assertion(other, assertion)


def test_each_assertion_has_a_tool_that_shows_it_or_none(): assert set(SHOWN) == set(ASSERTIONS) - {"assert_mobile_data_usage_exceeded"}


# ---------------------------------------------------------------- official verdicts

def rows(path): return [{**row.columns, "trace": row.trace.model_dump(mode="json")} for row in read(path)]
def score(row): return compute_scores(row, SimpleNamespace(trace=row["trace"]))


def checks(info, member, inner, flag):
    "The recorded verdicts of one kind: name, met"
    return [(check[inner].get("func_name") or check[inner].get("name"), check[flag]) for check in info.get(member) or []]


def points(row, found):
    "Every check points where it says: a call of the expected tool, a call or its result for an assertion, a message for what was said"
    items = row["trace"]["items"]
    for check, action in zip(found["actions"], row["evaluation_criteria"]["actions"] or (), strict=True):
        calls = [n for n, i in enumerate(items) if i["type"] == "function_call" and i["name"] == action["name"]]
        assert check["by"] == action["requestor"] and check.get("arguments", {}) == action["arguments"]
        if check["item"] is None:
            assert not check["met"] and not calls and check["why"] == f"never called: nobody called {action['name']}"
            continue
        assert check["item"] in calls and f"at item {check['item']}" in check["why"]
        if check["met"]: assert items[check["item"]]["created_by"] == action["requestor"] or "it was for the" in check["why"]
        else: assert ", expected " in check["why"]
    for check in found["env"]:
        assert check["item"] is None or items[check["item"]]["type"] == "function_call"
        if check["item"] is None: assert not any(i.get("name") in {*SHOWN[check["name"]][0]} for i in items) or SHOWN[check["name"]][1], check


def agree(row):
    "Hold the scores of a row against what the log recorded"
    info, result = row["reward_info"], score(row)
    found = result["metadata"]
    assert result["scores"]["reward"] == info["reward"] == found["official_reward"], (row["simulation_id"], found["reason"])
    assert found["unsupported"] == [] and (found["reason"] is None) == (info["reward"] == 1)
    if row["termination_reason"] not in ("user_stop", "agent_stop"): return found
    assert [(v["name"], v["met"]) for v in found["env"]] == checks(info, "env_assertions", "env_assertion", "met")
    assert [(v["name"], v["met"]) for v in found["actions"]] == checks(info, "action_checks", "action", "action_match")
    assert all(v["why"] for v in found["env"] + found["actions"])
    points(row, found)
    if info["db_check"]:
        world, _ = replay(row["initial_state"], recorded_calls(row["trace"]), is_solo(row, row["trace"]))
        assert same_end(world, expected_world(row["initial_state"], row["evaluation_criteria"]["actions"]))[0] == info["db_check"]["db_match"]
    return found


def test_every_official_verdict_of_the_sample(sample):
    made = rows(sample)
    assert len(made) == 21 and {row["reward"] for row in made} == {0.0, 1.0}
    for row in made:
        assert agree(row) == score({**row, "trace": row["trace"]})["metadata"]
        assert compute_scores(row, SimpleNamespace(trace=Trace.model_validate(row["trace"]))) == score(row)


def telecom(kind): return [path for path in logs(kind) if "telecom" in path.name]


def test_every_official_verdict_of_the_scripted_logs(shared):
    "By the labels beside the logs too: 300 runs, in every style of ids and nesting"
    labels = {(label["file"], label["id"]): label for label in map(json.loads, (shared/"data/tau2/scripted/labels_telecom.jsonl").read_text().splitlines())}
    for path in telecom("scripted_log"):
        for row in rows(path):
            label, found = labels.pop((path.name, row["simulation_id"])), agree(row)
            assert found["official_reward"] == label["reward"]
            if label["termination_reason"] not in ("user_stop", "agent_stop"): continue
            assert [[v["name"], v["met"]] for v in found["env"]] == label["env"] and [[v["name"], v["met"]] for v in found["actions"]] == [check[1:] for check in label["actions"]]
    assert not labels


def test_every_official_verdict_of_the_real_logs(shared):
    "Telecom: all of it. The other domains share the rules of actions and of what was said"
    counted = Counter()
    for path in logs("real_log"):
        for row in read(path):
            info = row.reward_info or {}
            if (row.domain or "").startswith("telecom"): agree({**row.columns, "trace": row.trace.model_dump(mode="json")})
            elif row.termination_reason in ("user_stop", "agent_stop"):
                calls = recorded_calls(row.trace)
                for check in info.get("action_checks") or []: assert action_met(check["action"], calls)[0] == check["action_match"], (path.name, check)
                for check in info.get("communicate_checks") or []: assert communicated(check["info"], row.trace)[0] == check["met"], (path.name, check)
                counted["actions"] += len(info.get("action_checks") or ())
                counted["said"] += len(info.get("communicate_checks") or ())
            counted["telecom" if (row.domain or "").startswith("telecom") else "other"] += 1
    assert counted["telecom"] >= 100 and counted["actions"] > 500 and counted["said"] > 50


BARS = {"none": "📵 No Signal", "poor": "📶¹ Poor", "fair": "📶² Fair", "good": "📶³ Good", "excellent": "📶⁴ Excellent"}


def status_bar(phone):
    shown = ["✈️ Airplane Mode"]
    if not phone.airplane_mode:
        network = phone.technology != "none"
        shown = [BARS[phone.signal], *[phone.technology] * network, *(["📱 Data Enabled"] + ["🔽 Data Saver"] * phone.data_saver if phone.data and network else ["📵 Data Disabled"])]
    return " | ".join([*shown, *["🔒 VPN Connected"] * (phone.vpn is not None), "🔋 80%"])


def network_status(phone):
    on, yes = ("OFF", "ON"), ("No", "Yes")
    return "\n".join([f"Airplane Mode: {on[phone.airplane_mode]}", f"SIM Card Status: {'missing' if phone.sim_missing else phone.sim}", f"Cellular Connection: {phone.connection}",
                      f"Cellular Signal: {phone.signal}", f"Cellular Network Type: {phone.technology}", f"Mobile Data Enabled: {yes[phone.data]}",
                      f"Data Roaming Enabled: {yes[phone.roaming]}", f"Wi-Fi Radio: {on[phone.wifi]}", "Wi-Fi Connected: No"])


def speed_test(phone):
    mbps, name = phone.speed()
    return "Speed test failed: No Connection." if name == "No Connection" else f"Speed Test Result: {mbps:.2f} Mbps ({name})."


READINGS = {   # what a tool that only reads would show of this phone
    "check_status_bar": lambda p, a: f"Status Bar: {status_bar(p)}", "check_network_status": lambda p, a: network_status(p), "run_speed_test": lambda p, a: speed_test(p),
    "can_send_mms": lambda p, a: f"Your messaging app {'cannot' if p.mms_faults() else 'can'} send MMS messages.",
    "check_network_mode_preference": lambda p, a: f"Network Mode Preference: {p.mode}",
    "check_apn_settings": lambda p, a: f"Current APN Name: {p.apn.apn_name}\nMMSC URL (for picture messages): {p.apn.mmsc_url or 'Not Set'}\n",
    "check_wifi_calling_status": lambda p, a: f"Wi-Fi Calling is currently turned {('OFF', 'ON')[p.wifi_calling]}.",
    "check_data_restriction_status": lambda p, a: f"Data Saver mode is {'ON (limits data usage)' if p.data_saver else 'OFF'}.",
    "check_vpn_status": lambda p, a: "VPN is ON and connected." if p.vpn else "VPN is turned OFF.",
    "check_payment_request": lambda p, a: f"You have a payment request for bill {p.payment_request} of" if p.payment_request else "No payment request has been made.",
    "check_app_permissions": lambda p, a: f"App '{a['app_name']}' " + (
        f"has permission for: {', '.join(n for n in PERMISSIONS if n in p.granted[a['app_name']])}." if a["app_name"] in p.granted else "not found on this phone."),
}


def test_every_reading_in_the_logs(shared, sample):
    "What the tools showed on the way is what the model holds at that moment; and what they refused, it refuses"
    seen = Counter()
    for row in [row for path in [sample, *telecom("scripted_log"), *telecom("real_log")] for row in rows(path)]:
        solo, (world, _) = is_solo(row, row["trace"]), replay(row["initial_state"], ())
        for made in recorded_calls(row["trace"]):
            name, args, said, entry = made["name"], made["args"], made["output"] or "", TOOLS.get(made["name"])
            if entry and made["created_by"] == ("assistant" if solo else entry.side):
                try: world.do(entry, args)
                except Refused: assert said.startswith("Error: "), (name, args, said)
                else:
                    assert not said.startswith("Error: "), (name, args, said)
                    if bar := re.search("Status Bar: (.*)", said): assert bar[1] == status_bar(world.phone), (row["simulation_id"], name)
                    world.sync()
            elif made["failed"]: continue
            elif name in READINGS: assert said.startswith(READINGS[name](world.phone, args)), (row["simulation_id"], name, said)
            elif name in ("get_details_by_id", "get_bills_for_customer", "get_data_usage"):
                for found in (answer if isinstance(answer := json.loads(said), list) else [answer]): assert_known(world.account, found)
            else: continue
            seen[name] += 1
    assert len(seen) > 30 and sum(seen.values()) > 2000


def assert_known(account, found):
    "A line, a bill, a plan or the usage of a line, as a tool gave it"
    if "line_id" in found:
        line = account.lines[found["line_id"]]
        names = {"status": line.status, "roaming_enabled": line.roaming, "plan_id": line.plan, "phone_number": line.phone_number}
        assert {n: found[n] for n in names if n in found} == {n: v for n, v in names.items() if n in found}
        assert float(found["data_used_gb"]) == line.used_gb and float(found["data_refueling_gb"]) == line.refuelled_gb
        assert float(found.get("data_limit_gb", PLAN_GB[line.plan])) == PLAN_GB[line.plan]
    elif "bill_id" in found: assert account.bills[found["bill_id"]] == Bill(found["customer_id"], found["status"])
    elif "data_limit_gb" in found: assert PLAN_GB[found["plan_id"]] == found["data_limit_gb"]


# ---------------------------------------------------------------- another model, and noise

STEPS = [("user", name, {}) for name in ("toggle_airplane_mode", "toggle_data", "toggle_roaming", "toggle_wifi_calling", "toggle_data_saver_mode", "reseat_sim_card", "reset_apn_settings",
                                         "reboot_device", "disconnect_vpn", "make_payment")]
STEPS += [("user", "set_network_mode_preference", {"mode": mode}) for mode in (*TECHNOLOGY, "6g")]
STEPS += [("user", "grant_app_permission", {"app_name": "messaging", "permission": name}) for name in ("sms", "storage")]
STEPS += [("assistant", "enable_roaming", LINE), ("assistant", "refuel_data", LINE | {"gb_amount": 2.0}), ("assistant", "send_payment_request", {"customer_id": C, "bill_id": "B1002"})]
BEGINNINGS = [("set_user_location", {"abroad": True}), ("set_data_usage", {**LINE, "data_used_gb": 16.0}), ("disable_roaming", LINE), ("turn_data_off", {}), ("turn_airplane_mode_on", {}),
              ("turn_data_saver_mode_on", {}), ("unseat_sim_card", {}), ("break_vpn", {}), ("break_apn_mms_setting", {}), ("set_wifi_calling", {"enabled": True, "mms_over_wifi": True}),
              ("remove_app_permission", {"app_name": "messaging", "permission": "sms"}), ("lock_sim_card", {"mode": "pin"}), ("set_network_mode_preference", {"mode": "2g_only"}),
              ("suspend_line_for_overdue_bill", {**LINE, "new_bill_id": "B1234321", "contract_ended": False})]


@given(st.lists(st.sampled_from(BEGINNINGS), max_size=5, unique_by=str), st.lists(st.sampled_from(STEPS), max_size=12))
@settings(max_examples=300)
def test_the_simulator_of_the_sample_log_agrees(beginnings, steps):
    "Two models, written apart, are in the same state after any calls; that of the sample keeps a VPN when a task turns airplane mode on"
    begin = state(ME, *sorted(beginnings, key=lambda step: step[0] != "turn_airplane_mode_on"))
    world, other = played(begin), Simulator({"initial_state": begin})
    for by, name, args in steps:
        world.play([made(name, by, args)])
        if not other.use_tool(by, name, args)[1]: other.sync()
        phone, line = world.phone, world.account.lines[L]
        assert (not phone.data_faults(), not phone.mms_faults(), phone.connection, phone.speed()) == (other.data_works(), other.mms_works(), other.phone.connection, other.speed()[:2])
        assert (line.status, line.roaming, line.refuelled_gb) == (other.line["status"], other.line["roaming_enabled"], other.line["data_refueling_gb"])
        assert {id: b["status"] for id, b in other.bills.items()}.items() <= {id: b.status for id, b in world.account.bills.items()}.items()
        assert status_bar(phone) == other.status_bar().removeprefix("Status Bar: ")


NAMES = st.sampled_from([*SET_UP, *ASSERTIONS, *COMPONENTS, C, L, "B1002", "555-123-2002", "2g_only", "messaging", "sms", "internet", "search", "__class__"])
KEYS = st.sampled_from(sorted({n for e in [*SET_UP.values(), *ASSERTIONS.values()] for n in e.takes} | {"func_name", "name", "arguments", "compare_args", "assert_value", "requestor", "device", "lines",
                              "line_id", "env_type", "user_data", "agent_data", "surroundings", "airplane_mode", "data_refueling_gb", "role", "tool_calls", "apn_name", "mms_port", "x"}))
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.sampled_from([10**400, float("nan"), float("inf"), 1e308, "2.0", ""]), st.floats(), st.text(max_size=5), NAMES)
JUNK = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12)
ARGS = st.fixed_dictionaries({}, optional={n: SCALARS | JUNK for n in ("customer_id", "line_id", "gb_amount", "mode", "app_name", "permission", "expected_status", "expected_amount", "apn_settings")})
NAMED = st.one_of([st.fixed_dictionaries({"func_name": st.just(n), "name": st.just(n), "arguments": st.fixed_dictionaries({a: SCALARS | JUNK for a in sorted(e.takes)}),
                                          "assert_value": SCALARS, "compare_args": JUNK, "requestor": st.sampled_from([e.side, None, 5])}) for n, e in {**SET_UP, **ASSERTIONS}.items()])
LISTS = st.lists(NAMED | JUNK, max_size=5) | JUNK
SAMPLES = st.fixed_dictionaries({}, optional={
    "evaluation_criteria": st.fixed_dictionaries({}, optional={"actions": LISTS, "env_assertions": LISTS, "communicate_info": LISTS, "nl_assertions": LISTS,
                                                               "reward_basis": st.lists(st.sampled_from([*COMPONENTS, "reward", "env"]) | JUNK, max_size=4) | JUNK}) | JUNK,
    "initial_state": st.fixed_dictionaries({}, optional={"initialization_actions": LISTS, "initialization_data": JUNK, "message_history": LISTS}) | JUNK,
    "termination_reason": st.sampled_from(["user_stop", None, "max_steps"]) | JUNK, "solo": JUNK, "domain": JUNK, "reward": JUNK})


@given(SAMPLES, st.lists(st.tuples(NAMED, st.sampled_from(["user", "assistant", None, "x"])), max_size=6), st.lists(st.text(max_size=6), max_size=2))
@settings(max_examples=400)
def test_nothing_makes_it_raise(sample, calls, texts):
    "Anything in the place of anything: a result comes out, of the promised form"
    items = [call(str(n), m["name"], text_of_arguments(m["arguments"]), created_by=by) for n, (m, by) in enumerate(calls)]
    items += [call(f"t{n}", "refuel_data", text, created_by="assistant") for n, text in enumerate(texts)] + [user("u"), assistant("a")]
    result = compute_scores(sample, SimpleNamespace(trace={"items": items}))
    scores, metadata = result["scores"], result["metadata"]
    assert {"reward", "action", "env_assertion", "action_coverage"} <= scores.keys() <= {"reward", "action_coverage", *map(str.lower, COMPONENTS)}
    assert all(value is None or isinstance(value, float) and 0 <= value <= 1 for value in scores.values())
    for verdict in metadata["env"] + metadata["actions"]:
        assert {"name", "met", "why", "item"} <= verdict.keys() <= {"name", "met", "why", "item", "by", "arguments"} and isinstance(verdict["met"], bool) and isinstance(verdict["why"], str)
        assert verdict["item"] is None or 0 <= verdict["item"] < len(items)
    assert all(isinstance(v["by"], str) for v in metadata["actions"])
    assert all(isinstance(name, str) for name in metadata["unsupported"]) and isinstance(metadata["reason"], str | None)


def text_of_arguments(args):
    "JSON text, also of what JSON has no text for"
    try: return json.dumps(args)
    except ValueError: return "9" * 5000


HUGE = [10**5000, float("nan"), float("inf"), "x" * 100_000, [10**5000], {"a": {"b": -(10**5000)}}]


@pytest.mark.parametrize("value", HUGE, ids=range(len(HUGE)))
def test_values_that_cannot_be_printed(value):
    "In the place of every argument, criterion and column"
    for name, entry in {**SET_UP, **ASSERTIONS}.items():
        args, step = {n: value for n in entry.takes}, {"func_name": name, "name": name, "arguments": {n: value for n in entry.takes}, "assert_value": value}
        sample = {"initial_state": {"initialization_actions": [step, {"func_name": value}, value], "initialization_data": {"user_data": {"device": {"airplane_mode": value}}, "agent_data": {"lines": [
            {"line_id": L, "data_refueling_gb": value, "data_used_gb": value}, {"line_id": value}, value]}}}, "domain": value, "solo": value, "reward": value, "evaluation_criteria": {
            "actions": [step, value, {"name": value}], "env_assertions": [step, value, {"func_name": value}], "communicate_info": [value], "nl_assertions": [value], "reward_basis": [*COMPONENTS, value]}}
        world, _ = replay(sample["initial_state"], [made(name, None, args), made(name, None, value)])
        assert isinstance(world.phone.speed()[0], float) and action_met(step, [made(name, None, args)])[0] in (True, False)
        assert compute_scores(sample, SimpleNamespace(trace={"items": [call("1", name, "{}")]}))["scores"]["reward"] == 0.0
    assert compute_scores({"termination_reason": value}, None)["scores"]["reward"] == 0.0 and compute_scores({"evaluation_criteria": value}, None)["scores"]["reward"] in (None, 1.0)


def test_deep_arguments_are_not_equal_and_do_no_harm():
    def nested(depth, value=None):
        for _ in range(depth): value = [value]
        return value
    for depth in (100, 900, 100_000):
        met, why, _ = action_met(wanted(a=nested(depth)), [made("f", "user", {"a": nested(depth, 1)})])
        assert not met and len(why) < 300


@pytest.mark.parametrize("sample, trace", [(None, None), ([], {}), ({}, None), ({}, {"items": None}), ({}, 5), ({"evaluation_criteria": {}}, {"items": []})])
def test_a_sample_of_nothing(sample, trace): assert compute_scores(sample, SimpleNamespace(trace=trace))["scores"]["reward"] == 1.0
