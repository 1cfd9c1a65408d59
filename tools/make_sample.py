#!/usr/bin/env python3
"""Write the sample log that ships inside tracekit: a small tau2-bench 0.2 style results file from a telecom help line.

    python tools/make_sample.py [PATH]        (default: tracekit/data/telecom.json in this repository)

Every conversation is invented. Each is a short script (the "plays" below) performed on a simulated phone and account,
so what a tool answers is true to the state at that moment, and each reward is worked out from the final state by the
benchmark's own rules. The sample holds on purpose what real logs hold: parallel calls, missing, empty and repeated
call ids, tool errors, a transfer, runs cut short. The same version of this file always writes the same bytes.
"""
import argparse
import json
import random
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

SEED, MAX_STEPS, MAX_ERRORS = 256, 40, 5
PHONE_NUMBER, UNPAID_BILL = "555-123-2002", "B1234321"
LINE = {"customer_id": "C1001", "line_id": "L1002"}

# ---------------------------------------------------------------- the simulated phone and account

TODAY = "2025-02-25"
MMSC_URL = "http://mms.carrier.com/mms/wapenc"
TECHNOLOGY = {"4g_5g_preferred": "5G", "4g_only": "4G", "3g_only": "3G", "2g_only": "2G"}  # what each network mode connects to
SIGNAL = {"none": "none", "2G": "poor", "3G": "fair", "4G": "good", "5G": "excellent"}  # its strength after a network search
SIGNAL_ICON = {"none": "📵 No Signal", "poor": "📶¹ Poor", "fair": "📶² Fair", "good": "📶³ Good", "excellent": "📶⁴ Excellent"}
MEAN_MBPS = {"2G": 0.25, "3G": 3.0, "4G": 55.0, "5G": 275.0}
SIGNAL_FACTOR = {"poor": 0.2, "fair": 0.5, "good": 0.8, "excellent": 1.0}
SPEED_WORDS = [(1, "Very Poor", "Connection is very slow. Basic web browsing might be difficult."),
               (5, "Poor", "Connection is slow. Web browsing may be sluggish, streaming difficult."),
               (25, "Fair", "Connection is okay for web browsing and some standard definition streaming."),
               (100, "Good", "Connection is good for most activities, including HD streaming."),
               (float("inf"), "Excellent", "Connection is very fast.")]
SIM_TEXT = {"active": "Your SIM card is active and working.", "missing": "No SIM card detected in the phone.",
            "locked_pin": "The SIM card is locked with a PIN code."}
VPN_DETAILS = "{'server_address': '192.168.1.1', 'protocol': 'OpenVPN', 'server_performance': <PerformanceLevel.POOR: 'poor'>}"
SWITCHES = {  # tool: the setting it toggles, its label, whether the phone then searches for a network
    "toggle_airplane_mode": ("airplane_mode", "Airplane Mode", True), "toggle_data": ("mobile_data", "Mobile Data", True),
    "toggle_roaming": ("data_roaming", "Data Roaming", True), "toggle_wifi_calling": ("wifi_calling", "Wi-Fi Calling", False),
    "toggle_data_saver_mode": ("data_saver", "Data Saver Mode", False)}
SET_UP = {  # set-up function of the phone: the settings it makes from its arguments, whether a network search follows
    "set_user_info": (lambda name, phone_number: {}, False), "simulate_network_search": (dict, True),
    "set_user_location": (lambda abroad: {"abroad": abroad}, False), "lock_sim_card": (lambda mode: {"sim": f"locked_{mode}"}, True),
    "set_network_mode_preference": (lambda mode: {"mode": mode}, True), "turn_data_off": (lambda: {"mobile_data": False}, True),
    "turn_airplane_mode_on": (lambda: {"airplane_mode": True}, True), "turn_roaming_off": (lambda: {"data_roaming": False}, True),
    "turn_data_saver_mode_on": (lambda: {"data_saver": True}, False), "unseat_sim_card": (lambda: {"sim": "missing"}, True),
    "break_vpn": (lambda: {"slow_vpn": True}, False), "break_apn_mms_setting": (lambda: {"mmsc_url": None}, False),
    "set_wifi_calling": (lambda enabled, mms_over_wifi: {"wifi_calling": enabled, "mms_over_wifi": mms_over_wifi}, False)}
FEBRUARY_CHARGES = [("Basic Plan - Line 555-123-2001", 40.0, "Plan Charge"), ("Premium Plan - Line 555-123-2002", 65.0, "Plan Charge"),
                    ("Basic Plan - Line 555-123-2003", 40.0, "Plan Charge"), ("Suspension Fee - Line 555-123-2003", 5.0, "Fee")]
JANUARY_CHARGES = FEBRUARY_CHARGES[:3] + [("Data Overage - Line 555-123-2002", 15.5, "Overage")]


class World:
    """The caller's phone and the carrier's account, in the starting state of a task; only what the plays need is modelled."""

    def __init__(self, task):
        self.plan = dict(plan_id="P1002", name="Premium Plan", data_limit_gb=15.0, price_per_month=65.0, data_refueling_price_per_gb=2.0)
        self.line = dict(
            line_id="L1002", phone_number=PHONE_NUMBER, status="Active", plan_id="P1002", device_id="D1002", data_used_gb=8.7,
            data_refueling_gb=0.0, roaming_enabled=True, contract_end_date="2026-12-31", last_plan_change_date="2024-12-15",
            last_sim_replacement_date="2025-01-20", suspension_start_date=None)
        self.customer = dict(
            customer_id="C1001", full_name="John Smith", date_of_birth="1985-06-15", email="john.smith@example.com",
            phone_number=PHONE_NUMBER, address=dict(street="123 Main St", city="Anytown", state="CA", zip_code="90210"),
            account_status="Active",
            payment_methods=[dict(method_type="Credit Card", account_number_last_4="1235", expiration_date="12/2026")],
            line_ids=["L1001", "L1002", "L1003"], bill_ids=[], created_at="2025-01-15 10:30:00", last_extension_date=None,
            goodwill_credit_used_this_year=25.0)
        self.bills = {}
        self.add_bill("B1001", "Paid", "2025-01-01", "2025-01-31", "2025-01-05", "2025-01-19", JANUARY_CHARGES)
        self.add_bill("B1002", "Issued", "2025-02-01", "2025-02-28", "2025-02-05", "2025-02-19", FEBRUARY_CHARGES)
        self.add_bill("B1003", "Draft", "2025-03-01", "2025-03-31", "2025-03-01", "2025-03-15", [])
        self.phone = SimpleNamespace(
            abroad=False, sim="active", airplane_mode=False, mobile_data=True, data_roaming=False, data_saver=False, slow_vpn=False,
            wifi_calling=False, mms_over_wifi=False, mode="4g_5g_preferred", technology="5G", signal="good", connection="connected",
            mmsc_url=MMSC_URL, apn_reset_pending=False, permissions={"sms": True, "storage": True, "phone": True, "network": False},
            line_active=True, roaming_allowed=False, allowance_used_up=False, payment_request=None)  # this row comes from the account
        for step in task["initial_state"]["initialization_actions"]:
            self.set_up(step["func_name"], step["arguments"])
            self.sync()

    def add_bill(self, bill_id, status, start, end, issued, due, charges, charged_on=None):
        items = [dict(description=text, amount=amount, date=charged_on or issued, item_type=kind) for text, amount, kind in charges]
        self.bills[bill_id] = dict(bill_id=bill_id, customer_id="C1001", period_start=start, period_end=end, issue_date=issued,
                                   total_due=sum((item["amount"] for item in items), 0.0), due_date=due, line_items=items, status=status)
        self.customer["bill_ids"].append(bill_id)

    def set_up(self, name, args):
        match name:
            case "set_data_usage":
                self.line["data_used_gb"] = args["data_used_gb"]
            case "disable_roaming":
                self.line["roaming_enabled"] = False
            case "suspend_line_for_overdue_bill":
                self.add_bill(args["new_bill_id"], "Overdue", "2025-01-01", "2025-01-31", "2025-01-01", "2025-01-15",
                              [("Charge for line L1002", 65.0, "Charge")], charged_on=TODAY)
                self.line.update(status="Suspended", suspension_start_date=TODAY)
            case "remove_app_permission":
                self.phone.permissions[args["permission"]] = False
            case _:
                settings, search = SET_UP[name]
                self.change_phone(settings(**args), search)

    def sync(self):
        """What the account allows reaches the phone, and a payment made on the phone reaches the account."""
        phone, line = self.phone, self.line
        phone.line_active = line["status"] == "Active"
        phone.roaming_allowed = line["roaming_enabled"]
        phone.allowance_used_up = line["data_used_gb"] >= self.plan["data_limit_gb"] + line["data_refueling_gb"]
        if phone.payment_request and phone.payment_request["paid"]:
            self.bills[phone.payment_request["bill_id"]]["status"] = "Paid"
            phone.payment_request = None
        for bill in self.bills.values():
            if bill["status"] == "Awaiting Payment" and not phone.payment_request:
                phone.payment_request = dict(bill_id=bill["bill_id"], amount_due=bill["total_due"], paid=False)

    def change_phone(self, settings, search=True):
        phone = self.phone
        vars(phone).update(settings)
        if search:
            found = phone.sim == "active" and not phone.airplane_mode and phone.line_active
            phone.connection = "connected" if found else "no_service"
            phone.technology = TECHNOLOGY[phone.mode] if found else "none"
            phone.signal = SIGNAL[phone.technology]

    def data_works(self):
        phone = self.phone
        roaming_settled = not phone.abroad or (phone.data_roaming and phone.roaming_allowed)
        return phone.connection == "connected" and phone.mobile_data and not phone.allowance_used_up and roaming_settled

    def mms_works(self):
        phone = self.phone
        return (self.data_works() and phone.technology != "2G" and not (phone.wifi_calling and phone.mms_over_wifi)
                and phone.mmsc_url is not None and phone.permissions["sms"] and phone.permissions["storage"])

    def speed(self):
        if not self.data_works():
            return 0.0, "No Connection", None
        slowed_by = (0.1 if self.phone.slow_vpn else 1.0) * (0.2 if self.phone.data_saver else 1.0)
        mbps = round(MEAN_MBPS[self.phone.technology] * SIGNAL_FACTOR[self.phone.signal] * slowed_by, 2)
        return mbps, *next((word, advice) for limit, word, advice in SPEED_WORDS if mbps < limit)

    def status_bar(self):
        phone, connected = self.phone, self.phone.technology != "none"
        icons = ["✈️ Airplane Mode"]
        if not phone.airplane_mode:
            icons = [SIGNAL_ICON[phone.signal]] + [phone.technology] * connected
            data_icons = ["📱 Data Enabled"] + ["🔽 Data Saver"] * phone.data_saver
            icons += data_icons if phone.mobile_data and connected else ["📵 Data Disabled"]
        return "Status Bar: " + " | ".join(icons + ["🔒 VPN Connected"] * phone.slow_vpn + ["🔋 80%"])

    def use_tool(self, requestor, name, arguments):
        """What the tool answers, and whether that is an error. Call sync() afterwards to let phone and account meet."""
        try:
            answer = (self.phone_tool if requestor == "user" else self.account_tool)(name, arguments)
        except ValueError as problem:
            return f"Error: {problem}", True
        return answer if isinstance(answer, str) else json.dumps(answer), False

    def phone_tool(self, name, args):
        phone, request, (mbps, word, advice) = self.phone, self.phone.payment_request, self.speed()
        granted = ", ".join(permission for permission, allowed in phone.permissions.items() if allowed)
        on_off, yes_no = ("OFF", "ON"), ("No", "Yes")
        reads = {
            "check_status_bar": self.status_bar(),
            "check_network_status": "\n".join([
                f"Airplane Mode: {on_off[phone.airplane_mode]}", f"SIM Card Status: {phone.sim}",
                f"Cellular Connection: {phone.connection}", f"Cellular Signal: {phone.signal}",
                f"Cellular Network Type: {phone.technology}",
                f"Mobile Data Enabled: {yes_no[phone.mobile_data]}", f"Data Roaming Enabled: {yes_no[phone.data_roaming]}",
                "Wi-Fi Radio: OFF", "Wi-Fi Connected: No"]),
            "check_network_mode_preference": f"Network Mode Preference: {phone.mode}",
            "run_speed_test": f"Speed Test Result: {mbps:.2f} Mbps ({word}). {advice}" if advice else f"Speed test failed: {word}.",
            "check_sim_status": SIM_TEXT[phone.sim],
            "check_apn_settings": "Current APN Name: internet\nMMSC URL (for picture messages): " + (phone.mmsc_url or "Not Set")
                                  + "\n(These are technical settings, usually best left unchanged.)",
            "check_wifi_calling_status": f"Wi-Fi Calling is currently turned {on_off[phone.wifi_calling]}.",
            "check_vpn_status": f"VPN is ON and connected. Details: {VPN_DETAILS}" if phone.slow_vpn else "VPN is turned OFF.",
            "check_app_permissions": f"App 'messaging' has permission for: {granted}.",
            "can_send_mms": f"Your messaging app {'can' if self.mms_works() else 'cannot'} send MMS messages.",
            "check_payment_request": "No payment request has been made." if not request else
                                     f"You have a payment request for bill {request['bill_id']} of {request['amount_due']} USD."}
        if name in reads:
            return reads[name]
        if name == "make_payment":
            if not request:
                return "You do not have a payment request."
            request["paid"] = True
            return f"Payment of {request['amount_due']} USD has been made for bill {request['bill_id']}."
        text, *change = self.phone_change(name, args)
        self.change_phone(*change)
        return f"{text}\n{self.status_bar()}"

    def phone_change(self, name, args):
        """What a tool that changes a setting says, the settings it changes, and whether a network search follows."""
        phone = self.phone
        if name in SWITCHES:
            switch, label, search = SWITCHES[name]
            state = not getattr(phone, switch)
            going_offline = switch == "airplane_mode" and state  # that drops a VPN
            settings = {switch: state, "slow_vpn": phone.slow_vpn and not going_offline}
            return f"{label} is now {'ON' if state else 'OFF'}.", settings, search
        mode, permission, apn_reset = args.get("mode"), args.get("permission"), phone.apn_reset_pending
        if name == "set_network_mode_preference" and mode not in TECHNOLOGY:
            return f"Failed to set network mode: '{mode}' is not a valid option. Please use one of: {', '.join(TECHNOLOGY)}", {}, False
        changes = {
            "set_network_mode_preference": (f"Preferred Network Mode set to: {mode}", {"mode": mode}, True),
            "reseat_sim_card": ("SIM card re-seated successfully.", {"sim": "active" if phone.sim == "missing" else phone.sim}, True),
            "reset_apn_settings": ("APN settings will reset at reboot.", {"apn_reset_pending": True}, True),
            "reboot_device": ("Resetting APN settings...\n" * apn_reset + "Restarting network services...",
                              {"apn_reset_pending": False, "mmsc_url": MMSC_URL if apn_reset else phone.mmsc_url}, True),
            "disconnect_vpn": ("VPN disconnected successfully.", {"slow_vpn": False}, False),
            "grant_app_permission": (f"Success. Permission '{permission}' granted to app '{args.get('app_name')}'.",
                                     {"permissions": phone.permissions | {permission: True}}, False)}
        if name in changes:
            return changes[name]
        raise ValueError(f"Tool '{name}' not found.")

    def account_tool(self, name, args):
        line, price = self.line, self.plan["data_refueling_price_per_gb"]
        if args.get("line_id", "L1002") != "L1002":
            raise ValueError(f"Line {args['line_id']} not found for customer C1001")
        match name:
            case "get_customer_by_phone":
                return self.customer
            case "get_details_by_id":
                return {"L1002": line, "P1002": self.plan, **self.bills}[args["id"]]
            case "get_bills_for_customer":
                return sorted(self.bills.values(), key=lambda bill: bill["issue_date"], reverse=True)
            case "get_data_usage":
                return dict(line_id="L1002", data_used_gb=str(line["data_used_gb"]), data_limit_gb=str(self.plan["data_limit_gb"]),
                            data_refueling_gb=str(line["data_refueling_gb"]), cycle_end_date="2025-02-28")
            case "send_payment_request":
                if any(bill["status"] == "Awaiting Payment" for bill in self.bills.values()):
                    raise ValueError("A bill is already awaiting payment for this customer")
                self.bills[args["bill_id"]]["status"] = "Awaiting Payment"
                return f"Payment request sent to the customer for bill {args['bill_id']}"
            case "resume_line":
                line.update(status="Active", suspension_start_date=None)
                return dict(message="Line resumed successfully", line=line)
            case "enable_roaming":
                line["roaming_enabled"] = True
                return "Roaming enabled successfully"
            case "refuel_data":
                amount, next_bill = args["gb_amount"], self.bills["B1003"]
                line["data_refueling_gb"] += amount
                next_bill["total_due"] += amount * price
                next_bill["line_items"].append(dict(description=f"Data refueling: {amount} GB at ${price}/GB", amount=amount * price,
                                                    date=TODAY, item_type="Charge"))
                return dict(message=f"Successfully added {amount} GB of data for line L1002 for ${amount * price:.2f}",
                            new_data_refueling_gb=str(line["data_refueling_gb"]), charge=str(amount * price))
            case "transfer_to_human_agents":
                return "Transfer successful"
        raise ValueError(f"Tool '{name}' not found.")

    def holds(self, check):
        """Whether an assertion of the task is met in the present state."""
        args, (mbps, word, _) = check["arguments"], self.speed()
        match check["func_name"]:
            case "assert_internet_speed":
                return mbps >= args["expected_speed"] and word.lower() == args["expected_desc"]
            case "assert_no_overdue_bill":
                return self.bills.get(args["overdue_bill_id"], {"status": "Paid"})["status"] == "Paid"
            case "assert_data_refueling_amount":
                return abs(self.line["data_refueling_gb"] - args["expected_amount"]) < 1e-6
        status = {"assert_service_status": self.phone.connection, "assert_mobile_data_status": self.data_works(),
                  "assert_can_send_mms": self.mms_works()}
        return status[check["func_name"]] == args["expected_status"]


# ---------------------------------------------------------------- the official reward

def satisfies(call, action):
    """The benchmark's argument rule: without a list of names, those of the recorded call are compared."""
    names = call["arguments"] if action["compare_args"] is None else action["compare_args"]
    given, wanted = ({k: v for k, v in side["arguments"].items() if k in names} for side in (call, action))
    return call["name"] == action["name"] and given == wanted


def grade(task, world, messages, ended):
    """The reward_info of a run that left `world` behind."""
    unchecked = dict(reward=0.0, db_check=None, env_assertions=None, action_checks=None, nl_assertions=None, communicate_checks=None,
                     reward_basis=["DB"], reward_breakdown=None, info=dict(note=f"Cut short ({ended}), so nothing was checked."))
    if ended != "user_stop":
        return unchecked
    criteria = task["evaluation_criteria"]
    reference = World(task)
    for action in criteria["actions"]:  # the official reference run does not sync phone and account either
        reference.use_tool(action["requestor"], action["name"], action["arguments"])
    same = vars(world) == vars(reference)
    met = [world.holds(check) for check in criteria["env_assertions"]]
    calls = [call for message in messages for call in message.get("tool_calls") or []]
    matched = [any(satisfies(call, action) for call in calls) for action in criteria["actions"]]
    component = {"DB": float(same), "ENV_ASSERTION": float(all(met)), "ACTION": float(all(matched))}
    breakdown = {name: component[name] for name in criteria["reward_basis"]}
    return unchecked | dict(
        reward=min(breakdown.values()), db_check=dict(db_match=same, db_reward=float(same)),
        env_assertions=[dict(env_assertion=check, met=ok, reward=float(ok)) for check, ok in zip(criteria["env_assertions"], met)],
        action_checks=[dict(action=action, action_match=ok, action_reward=float(ok)) for action, ok in zip(criteria["actions"], matched)],
        reward_basis=criteria["reward_basis"], reward_breakdown=breakdown, info=dict(env=None, nl=None, communicate=None, action=None))


# ---------------------------------------------------------------- recording a conversation

TONES = {  # by persona: how a caller gives the number, reports what the phone shows, agrees, says goodbye, gives up
    "None": dict(number=["It's {}.", "The number is {}."], report=["It says: {}", "I see this: {}", "Here is what I get: {}"],
                 agree=["Yes, please.", "That sounds right, go ahead."],
                 thanks=["Great, that works again. Thank you!", "All good now, thanks for the help."],
                 giving_up=["Hm. Then I'll see how it goes. Goodbye.", "All right, I'll leave it at that for today."]),
    "Easy": dict(number=["Of course, that would be {}.", "Sure thing! {}, I know it by heart."],
                 report=["Okay, found it! {}", "Done, I think? My phone shows: {}", "Let me read it out to you: {}"],
                 agree=["Sure, you're the expert!", "Oh yes please, do."],
                 thanks=["Hooray, it's back! You've made my day 😊", "Wonderful, and you were so patient with me. Thank you!"],
                 giving_up=["Oh well, I'll wait and see then. Thank you!", "No worries, I'll have a tea. Bye!"]),
    "Hard": dict(number=["{}. As I already typed in at the start.", "{}. Can we please hurry?"],
                 report=["{}", "My phone says: {}", "Fine. {}"], agree=["Yes. Just do it.", "Obviously."],
                 thanks=["Finally. Goodbye.", "It works. That took long enough."],
                 giving_up=["If you say so. I have to go.", "I don't have time for this. Bye."])}
SPOKEN = [  # how a caller puts a tool's answer
    (".\nStatus Bar: ", ". At the top I have "), ("\nStatus Bar: ", ". At the top I have "), ("Status Bar: ", ""),
    ("Speed Test Result: ", ""), ("Your messaging", "The messaging"), ("You have", "I have"), ("...\n", ", then "),
    ("\n(These are technical settings, usually best left unchanged.)", ""),
    (f"Details: {VPN_DETAILS}", "It rates its server performance as poor."), ("\n", ", ")]
GREETINGS = ["Welcome to Larkspur Mobile, my name is Zoë. What can I do for you?",
             "Larkspur Mobile support, René speaking. How can I help?",
             "Hello and thanks for calling Larkspur Mobile! What is troubling you today?"]
ASK_NUMBER = ["I'm sorry to hear that. Which phone number is it about?", "Let's get that sorted. May I have the number of the line?",
              "That must be annoying. What is the phone number, please?"]
LOOK_AT_BAR = ["Please look at the top edge of your screen: what does the status bar show?",
               "Could you read me the icons in your status bar?"]
TEST_SPEED = ["Let's measure it: please run a speed test.", "Could you run a speed test now and tell me the result?"]


class CutShort(Exception):
    """The run has used up its steps or its tool errors."""


class Talk:
    """Records one conversation. Its methods are the lines of the plays; of several wordings one is picked.

    call_ids: "own" for every call, "empty" ones, "restarting" with each message, or "unanswered" (left out of the answers).
    """

    def __init__(self, task, rng, start, call_ids):
        self.world, self.rng, self.now, self.call_ids = World(task), rng, start, call_ids
        self.tone = TONES[persona_of(task["id"])]
        self.messages, self.steps, self.errors, self.characters = [], -1, 0, 4000

    def record(self, milliseconds, **message):
        self.now += timedelta(milliseconds=self.rng.randint(*milliseconds))
        self.characters += len(json.dumps(message))
        self.messages.append(message | dict(turn_idx=len(self.messages), timestamp=self.now.isoformat(timespec="milliseconds")))

    def call_id(self, name, position):
        unique = f"call_{self.rng.getrandbits(96):024x}"
        return {"empty": "", "restarting": f"{name}_{position}"}.get(self.call_ids, unique)

    def turn(self, role, text, *calls):
        """One message of a speaker, followed by the answers to its tool calls."""
        calls = [(call, {}) if isinstance(call, str) else call for call in calls]
        tool_calls = [dict(id=self.call_id(name, i), name=name, arguments=args, requestor=role) for i, (name, args) in enumerate(calls)]
        usage = dict(completion_tokens=len(f"{text}{calls}") // 4, prompt_tokens=self.characters // 4)
        cost = (2e-6 if role == "assistant" else 4e-7) * (usage["prompt_tokens"] + 4 * usage["completion_tokens"])
        self.record((900, 7000), role=role, content=text, tool_calls=tool_calls or None)
        self.messages[-1].update(cost=round(cost, 7), usage=usage, raw_data=None)
        answers = []
        for call in tool_calls:
            content, error = self.world.use_tool(role, call["name"], call["arguments"])
            self.world.sync()
            answer_id = {} if self.call_ids == "unanswered" else {"id": call["id"]}
            self.record((40, 400), **answer_id, role="tool", content=content, requestor=role, error=error)
            self.errors += error
            answers.append(content)
        self.steps += 2 if calls else 1
        if self.errors >= MAX_ERRORS or self.steps >= MAX_STEPS:
            raise CutShort("too_many_errors" if self.errors >= MAX_ERRORS else "max_steps")
        return answers

    def agent(self, *wordings):
        self.turn("assistant", self.rng.choice(wordings))

    def user(self, *wordings):
        self.turn("user", self.rng.choice(wordings))

    def agree(self):
        self.user(*self.tone["agree"])

    def agent_calls(self, *calls, text=None):
        self.turn("assistant", text or ("" if self.call_ids == "empty" else None), *calls)

    def ask(self, wording, *calls, text=None):
        """The agent asks for something on the phone; the user does it and reports what the phone answered."""
        self.agent(*[wording] if isinstance(wording, str) else wording)
        seen = " And then: ".join(self.turn("user", text, *calls))
        for written, spoken in SPOKEN:
            seen = seen.replace(written, spoken)
        self.user(*[report.format(seen) for report in self.tone["report"]])

    def open_call(self, complaints, *look_ups, text=None):
        """Greeting, complaint, phone number, customer record, and further look-ups in one message."""
        self.agent(*GREETINGS)
        self.user(*complaints)
        self.agent(*ASK_NUMBER)
        self.user(*[line.format(PHONE_NUMBER) for line in self.tone["number"]])
        self.agent_calls(tool("get_customer_by_phone", phone_number=PHONE_NUMBER))
        self.agent_calls(*look_ups, text=text)

    def close(self, *last_words, mood="thanks"):
        self.agent(*last_words)
        self.user(*[f"{line} ###STOP###" for line in self.tone[mood]])


# ---------------------------------------------------------------- the plays

def tool(name, **arguments):
    return name, arguments


LINE_DETAILS, PLAN_DETAILS = tool("get_details_by_id", id="L1002"), tool("get_details_by_id", id="P1002")
DATA_USAGE = tool("get_data_usage", **LINE)


def no_signal(talk, check_sim=True):
    """Airplane mode is on and the SIM card sits loose; a hasty agent sees only the first."""
    talk.open_call(["My phone has had no signal since my flight landed, and I promised to call my mum Renée!",
                    "Hi there! I can't call anyone, the phone acts as if it were switched off. Any idea?"],
                   LINE_DETAILS, text="Thank you, John. Let me see whether the line itself is all right.")
    talk.ask(LOOK_AT_BAR, "check_status_bar")
    talk.ask(["Your line is active. The plane symbol means airplane mode is on; please switch it off.",
              "Nothing is wrong with your line, but the phone is in airplane mode. Could you turn that off?"], "toggle_airplane_mode")
    if not check_sim:
        return talk.close("Airplane mode is off now. The signal may need an hour or two, so just wait.", mood="giving_up")
    talk.ask("Still no signal, I see. Please check the SIM card, and the status bar once more.",
             "check_sim_status", "check_status_bar", text="Let me look at both.")
    talk.ask(["The phone does not see its SIM card. Please take it out and put it back in firmly.",
              "The card has probably slipped. Could you remove it and insert it again?"], "reseat_sim_card")
    talk.close("There it is: you are connected again. Is there anything else?", "The phone is back on the network. Anything else today?")


def suspended_line(talk, collect=True, ask_twice=False, restart=True):
    """The line is suspended for an unpaid bill: collect the money, resume the line, and restart the phone."""
    pay = tool("send_payment_request", customer_id="C1001", bill_id=UNPAID_BILL)
    resume = tool("resume_line", **LINE)
    talk.open_call(["Since this morning I cannot make any calls, there is simply no service.",
                    "My service is gone, and a friend says the line may have been blocked. Can you check?"],
                   LINE_DETAILS, PLAN_DETAILS, tool("get_bills_for_customer", customer_id="C1001"),
                   text="I am opening your line, your plan and your bills.")
    if collect:
        talk.agent("Your line is suspended because bill B1234321 over $65.00 is overdue. May I send you a payment request for it?",
                   "The reason is an overdue bill, B1234321 over $65.00. If you like, I'll send you a request to pay it right now.")
        talk.agree()
        talk.agent_calls(pay)
        if ask_twice:
            talk.agent_calls(pay, text="I'll send it again to be safe.")
        talk.ask("A request is on its way to you. Please open it and tell me what it says.", "check_payment_request")
        talk.ask("That is the right bill. Please pay it now if you agree.", "make_payment")
        talk.agent_calls(tool("get_details_by_id", id=UNPAID_BILL), resume, text="Thank you! I'll check the bill and resume your line.")
    else:
        talk.agent("The line was suspended over an unpaid bill. I can lift that right away, and you pay the $65.00 when it suits you.")
        talk.agree()
        talk.agent_calls(resume)
    if not restart:
        return talk.close("Everything is paid and your line is active again. Have a nice day!", mood="giving_up")
    talk.ask("Your line is active. Please restart the phone so that it finds the network.", "reboot_device")
    talk.close("You are connected again. Can I help with anything else?")


def allowance_used_up(talk, portions=(2.0,), typing_error=False):
    """The month's data is gone; the caller wants exactly 2 GB more, in one go or in portions."""
    talk.open_call(["Pages stopped loading on my phone about an hour ago, though I have full bars.",
                    "My mobile internet is dead since lunch. Calls work, but no page opens."], LINE_DETAILS, DATA_USAGE)
    talk.ask(LOOK_AT_BAR, "check_status_bar")
    talk.agent("The phone looks fine, but your 15.0 GB for this month are used up. Extra data costs $2.00 per GB. How much do you want?",
               "Nothing wrong there. You have used all the data of this month, though; I can add some for $2.00 per GB.")
    talk.user("Please add 2 GB.", "2 GB will do until the end of the month, please.")
    if typing_error:
        talk.agent_calls(tool("refuel_data", customer_id="C1001", line_id="L1020", gb_amount=portions[0]))
    talk.agent_calls(tool("refuel_data", **LINE, gb_amount=portions[0]))
    talk.ask(TEST_SPEED, "run_speed_test")
    for portion in portions[1:]:
        talk.agent(f"That was {portions[0]} GB, to see whether it helps. Shall I add the rest?")
        talk.agree()
        talk.agent_calls(tool("refuel_data", **LINE, gb_amount=portion), DATA_USAGE)
    talk.close(f"I have added {sum(portions)} GB in total and you are back online. Anything else?")


def abroad(talk, check_phone=True):
    """Roaming is off both on the line and on the phone. The status bar looks perfect all the time."""
    talk.open_call(["I'm in São Paulo, my taxi app shows nothing and neither does anything else. Fix it.",
                    "Landed in São Paulo and got no internet at all. I have a meeting in ten minutes."], LINE_DETAILS, DATA_USAGE)
    talk.agent("Roaming is not enabled on your line yet. Shall I turn it on?", "I see that the line may not roam. May I allow it for you?")
    talk.agree()
    talk.agent_calls(tool("enable_roaming", **LINE))
    talk.ask(LOOK_AT_BAR, "check_status_bar")
    if not check_phone:
        return talk.close("Excellent 5G and data enabled: that is as good as it gets. Your internet is working now.", mood="giving_up")
    talk.ask("A good sign, but it does not show roaming. What does the network status page say?", "check_network_status")
    talk.ask("Data roaming is still off on the phone itself. Please switch it on.", "toggle_roaming")
    talk.ask(TEST_SPEED, "run_speed_test")
    talk.close("You are online at full speed. Safe travels!")


def slow_internet(talk, settle_for_4g=False):
    """The phone is held on 2G with data saver on; choosing 4G makes it good but not excellent."""
    talk.open_call(["A single photo takes minutes to load on my phone. I want the fast internet that I pay for.",
                    "My internet crawls. It used to be excellent and I'd like to have that back."],
                   LINE_DETAILS, DATA_USAGE, text="I'll check your line and how much data is left.")
    talk.ask("There is plenty of data left. Please run a speed test and look up the preferred network mode.",
             "run_speed_test", "check_network_mode_preference")
    if settle_for_4g:
        talk.ask("The phone is limited to 2G. Please set the mode to 4g_only.", tool("set_network_mode_preference", mode="4g_only"))
    else:
        talk.ask("The phone is limited to 2G. Please set the mode to 5G.", tool("set_network_mode_preference", mode="5g"))
        talk.ask("My mistake, please choose 4g_5g_preferred.", tool("set_network_mode_preference", mode="4g_5g_preferred"))
    talk.ask("Better. Data Saver is on as well and slows you down; please turn it off.", "toggle_data_saver_mode")
    talk.ask(TEST_SPEED, "run_speed_test")
    if settle_for_4g:
        return talk.close("That is good enough for films, so I would call it solved.", mood="giving_up")
    talk.close("Excellent, that is full speed. Anything else?")


def hidden_vpn(talk, look_for_vpn=True):
    """Airplane mode on, mobile data off, and a slow VPN; whoever overlooks the VPN restarts the phone forever."""
    talk.open_call(["Good morning! My grandson played with my phone and now the internet is gone.",
                    "Hello! I was on a train to Kraków, and since then nothing on my phone loads."], LINE_DETAILS)
    talk.ask(LOOK_AT_BAR, "check_status_bar")
    talk.ask("Airplane mode is on. Would you turn it off, please?", "toggle_airplane_mode")
    talk.ask("Now the signal is back, but mobile data is off. Please switch that on too.", "toggle_data")
    talk.ask(TEST_SPEED, "run_speed_test")
    while not look_for_vpn:  # until the run is cut short
        talk.ask(["That could be better. Please restart the phone.", "Let's see what a restart does."], "reboot_device")
        talk.ask(["And another speed test, please.", "Please measure it again."], "run_speed_test")
    talk.ask("I noticed a little lock in your status bar. Please check the VPN.", "check_vpn_status")
    talk.ask("That server slows you down. Please disconnect from the VPN.", "disconnect_vpn")
    talk.ask("One last speed test to be sure, please.", "run_speed_test")
    talk.close("That is excellent. Enjoy your day!")


def picture_messages(talk, ask_the_user=True):
    """Wi-Fi calling swallows picture messages and the MMS server address is missing. Only the caller can change either."""
    talk.open_call(["I can't send photos to my sister Inés, every picture message fails.",
                    "Picture messages won't go out any more. Plain texts are fine."], LINE_DETAILS, DATA_USAGE)
    while not ask_the_user:  # one error after the other, until the run is cut short
        talk.agent("I will repair your message settings from here.", "One moment, I am working on your message settings.")
        talk.user("Good, I'll wait.", "Take your time.")
        talk.agent_calls("check_apn_settings", "check_wifi_calling_status")
        talk.agent_calls("reset_apn_settings", text="Let me try the next one.")
    talk.ask("Your line is in order. Can the messaging app send picture messages at the moment?", "can_send_mms")
    talk.ask("Let's see why not. Please look up Wi-Fi calling and the APN settings.", "check_wifi_calling_status", "check_apn_settings")
    talk.ask("Two things are in the way. First, please turn Wi-Fi calling off.", "toggle_wifi_calling")
    talk.ask("Second, the address for picture messages is not set. Please reset the APN settings.", "reset_apn_settings")
    talk.ask("The reset happens at a restart, so please restart the phone.", "reboot_device")
    talk.ask("Does it work now?", "can_send_mms")
    talk.close("Wonderful, your photos can go out again.")


def lost_permissions(talk, permissions=("sms", "storage")):
    """No data left, and the messaging app has lost two permissions; a careless agent gives back only one."""
    talk.open_call(["Picture messages fail. I have clients waiting for photos, so be quick.",
                    "I can't send a single photo by MMS. Add 2 GB if you must, but make it work."], DATA_USAGE)
    talk.agent("Your data for this month is used up, and picture messages need some. Shall I add 2 GB for $4.00?")
    talk.agree()
    talk.agent_calls(tool("refuel_data", **LINE, gb_amount=2.0))
    talk.ask("Done. Next, which permissions does the messaging app have?", tool("check_app_permissions", app_name="messaging"))
    for permission in permissions:
        talk.ask([f"The app needs the permission '{permission}'. Please grant it.", f"Please give the app the '{permission}' permission."],
                 tool("grant_app_permission", app_name="messaging", permission=permission))
    if len(permissions) == 1:
        return talk.close("Then the app has what it needs. Please try again later today.", mood="giving_up")
    talk.ask("Please check whether the app can send picture messages now.", "can_send_mms")
    talk.close("Then you are all set.")


def locked_sim(talk, transfer=True):
    """The SIM card waits for its PIN. Nobody can solve this by phone: the right move is a transfer."""
    talk.open_call(["My phone says there is no service and I don't know why.", "No service at all since I restarted my phone."],
                   LINE_DETAILS, text="Thank you. One moment, I'll look at your line.")
    talk.ask(LOOK_AT_BAR, "check_status_bar")
    talk.ask("Please check the state of the SIM card.", "check_sim_status")
    if not transfer:
        return talk.close("Then you need your PIN. If you cannot find it, please drop by one of our shops.", mood="giving_up")
    talk.agent_calls(tool("transfer_to_human_agents", summary="SIM card of line L1002 is locked with a PIN, the caller has no service."),
                     text="I cannot unlock a SIM card from here, so I'll hand you over to a colleague who can.")
    talk.agent("You are being connected, please hold the line.")
    talk.user("Okay, I'm waiting. ###TRANSFER###", "Thanks, I'll hold. ###TRANSFER###")


# ---------------------------------------------------------------- the tasks

PERSONAS = {"None": None, "Easy": "A cheerful person who enjoys a chat, trusts the agent and knows little about phones.",
            "Hard": "A busy person in a bad mood who answers in few words and hates to repeat anything."}
CONDUCT = "Use your phone's tools when the agent asks, and tell only what they show. Hang up once {}, or when you are told that you may."


def persona_of(task_id):
    return task_id.rsplit(":", 1)[1].rstrip("]")


def on_phone(func_name, **arguments):
    return dict(env_type="user", func_name=func_name, arguments=arguments)


def on_account(func_name, **arguments):
    return dict(env_type="assistant", func_name=func_name, arguments=arguments)


def make_task(task_id, purpose, reason, goal, setup, actions, checks, compare_args=None, basis=("ENV_ASSERTION",), where="at home"):
    instructions = dict(domain="telecom", reason_for_call=reason, unknown_info=None, task_instructions=CONDUCT.format(goal),
                        known_info=f"You are John Smith, your number is {PHONE_NUMBER}, you are {where}.")
    caller = on_phone("set_user_info", name="John Smith", phone_number=PHONE_NUMBER)
    return dict(
        id=task_id, description=dict(purpose=purpose, relevant_policies=None, notes=None),
        user_scenario=dict(persona=PERSONAS[persona_of(task_id)], instructions=instructions), ticket=None,
        initial_state=dict(initialization_data=None, initialization_actions=[caller, *setup], message_history=None),
        evaluation_criteria=dict(
            actions=[dict(action_id=f"{action['func_name']}_{i}", requestor=action["env_type"], name=action["func_name"],
                          arguments=action["arguments"], info=None, compare_args=compare_args) for i, action in enumerate(actions)],
            env_assertions=[check | dict(assert_value=True, message=None) for check in checks],
            communicate_info=None, nl_assertions=None, reward_basis=list(basis)))


CONNECTED = on_phone("assert_service_status", expected_status="connected")
DATA_WORKS = on_phone("assert_mobile_data_status", expected_status=True)
FULL_SPEED = on_phone("assert_internet_speed", expected_speed=200, expected_desc="excellent")
MMS_WORKS = on_phone("assert_can_send_mms", expected_status=True)
BILL_PAID = on_account("assert_no_overdue_bill", overdue_bill_id=UNPAID_BILL)
TWO_GB_ADDED = on_account("assert_data_refueling_amount", **LINE, expected_amount=2.0)
NO_DATA_LEFT = on_account("set_data_usage", **LINE, data_used_gb=15.1)
ADD_TWO_GB = on_account("refuel_data", **LINE, gb_amount=2.0)

CASES = [  # task, play, and the options of each trial
    (make_task("[service_issue]airplane_mode_on|unseat_sim_card[PERSONA:Easy]", "Two causes of a missing signal, one behind the other.",
               "Your phone has no signal.", "the status bar shows a signal",
               [on_phone("turn_airplane_mode_on"), on_phone("unseat_sim_card")],
               [on_phone("toggle_airplane_mode"), on_phone("reseat_sim_card")], [CONNECTED]),
     no_signal, [{}, {"check_sim": False}, {}]),
    (make_task("[service_issue]overdue_bill_suspension[PERSONA:None]", "A suspended line comes back only after payment and a restart.",
               "You have no service. You will pay an open bill if asked.", "you have service",
               [on_account("suspend_line_for_overdue_bill", **LINE, new_bill_id=UNPAID_BILL, contract_ended=False),
                on_phone("simulate_network_search")],
               [on_account("send_payment_request", customer_id="C1001", bill_id=UNPAID_BILL), on_phone("make_payment"),
                on_account("resume_line", **LINE), on_phone("reboot_device")], [CONNECTED, BILL_PAID]),
     suspended_line, [{}, {"ask_twice": True, "restart": False}, {"collect": False}]),
    (make_task("[mobile_data_issue]data_usage_exceeded[PERSONA:None]", "The allowance is spent; the data asked for must be added.",
               "Your mobile internet stopped. You want 2 GB of extra data if that helps.", "the internet is excellent again",
               [NO_DATA_LEFT], [ADD_TWO_GB], [DATA_WORKS, FULL_SPEED, TWO_GB_ADDED], compare_args=["line_id", "gb_amount"]),
     allowance_used_up, [{}, {"portions": (1.0,)}, {"portions": (1.0, 1.0), "typing_error": True}]),
    (make_task("[mobile_data_issue]user_abroad_roaming_disabled_off[PERSONA:Hard]", "Roaming must be switched on in two places.",
               "You are abroad and have no internet.", "the internet is excellent",
               [on_phone("set_user_location", abroad=True), on_phone("turn_roaming_off"), on_account("disable_roaming", **LINE)],
               [on_account("enable_roaming", **LINE), on_phone("toggle_roaming")], [DATA_WORKS, FULL_SPEED], where="in Brazil"),
     abroad, [{"call_ids": "unanswered"}, {"check_phone": False}]),
    (make_task("[mobile_data_issue]bad_network_preference|data_saver_mode_on[PERSONA:None]", "Two settings that slow the internet down.",
               "Your mobile internet is very slow and you insist on excellent speed.", "the speed test says excellent",
               [on_phone("turn_data_saver_mode_on"), on_phone("set_network_mode_preference", mode="2g_only"),
                on_phone("simulate_network_search")],
               [on_phone("set_network_mode_preference", mode="4g_5g_preferred"), on_phone("toggle_data_saver_mode")],
               [DATA_WORKS, FULL_SPEED]),
     slow_internet, [{}, {"settle_for_4g": True}]),
    (make_task("[mobile_data_issue]airplane_mode_on|bad_vpn|data_mode_off[PERSONA:Easy]", "Three causes, the last one well hidden.",
               "Your internet is gone.", "the speed test says excellent",
               [on_phone("turn_airplane_mode_on"), on_phone("turn_data_off"), on_phone("break_vpn")],
               [on_phone("toggle_airplane_mode"), on_phone("toggle_data"), on_phone("disconnect_vpn")], [DATA_WORKS, FULL_SPEED]),
     hidden_vpn, [{}, {"look_for_vpn": False}]),
    (make_task("[mms_issue]bad_wifi_calling|break_apn_mms_setting[PERSONA:None]", "Two settings of the phone block picture messages.",
               "You cannot send picture messages.", "picture messages can be sent",
               [on_phone("set_wifi_calling", enabled=True, mms_over_wifi=True), on_phone("break_apn_mms_setting")],
               [on_phone("toggle_wifi_calling"), on_phone("reset_apn_settings"), on_phone("reboot_device")], [MMS_WORKS]),
     picture_messages, [{"call_ids": "empty"}, {"ask_the_user": False}]),
    (make_task("[mms_issue]break_app_both_permissions|data_usage_exceeded[PERSONA:Hard]", "One cause in the account, two in the app.",
               "You cannot send picture messages. You accept 2 GB of extra data.", "picture messages can be sent",
               [NO_DATA_LEFT] + [on_phone("remove_app_permission", app_name="messaging", permission=name) for name in ("sms", "storage")],
               [ADD_TWO_GB] + [on_phone("grant_app_permission", app_name="messaging", permission=name) for name in ("sms", "storage")],
               [MMS_WORKS, TWO_GB_ADDED]),
     lost_permissions, [{"call_ids": "restarting"}, {"permissions": ("sms",), "call_ids": "unanswered"}]),
    (make_task("[service_issue]lock_sim_card_pin[PERSONA:None]", "Cannot be solved by phone, so the agent has to hand the caller over.",
               "You have no service.", "you are handed over or have given up", [on_phone("lock_sim_card", mode="pin")],
               [on_account("transfer_to_human_agents", summary="The SIM card is locked with a PIN.")],
               [on_phone("assert_service_status", expected_status="no_service")], compare_args=[], basis=("ENV_ASSERTION", "ACTION")),
     locked_sim, [{}, {"transfer": False}])]


# ---------------------------------------------------------------- the file

POLICY = """You answer the help line of Larkspur Mobile. Look the caller up by phone number before anything else.
You can see and change the account; only the caller can operate the phone, so ask for one step at a time.
Find the cause before you change something, and check at the end that the problem is gone.
Extra data is charged per gigabyte: add no more and no less than the caller agreed to.
A line suspended for an unpaid bill may be resumed after the bill is paid; then have the phone restarted.
Hand over to a human colleague only what cannot be solved with your tools and the caller's help."""


def simulate(task, play, trial, seed, start, call_ids="own", **options):
    rng = random.Random(f"{seed} {task['id']}")
    talk, ended = Talk(task, rng, start, call_ids), "user_stop"
    try:
        play(talk, **options)
    except CutShort as cut:
        ended = str(cut)
    end = talk.messages[-1]["timestamp"]
    cost = {role: round(sum(m["cost"] for m in talk.messages if m["role"] == role), 6) for role in ("assistant", "user")}
    return dict(id=str(uuid.UUID(int=rng.getrandbits(128), version=4)), task_id=task["id"], timestamp=end,
                start_time=start.isoformat(timespec="milliseconds"), end_time=end, duration=(talk.now - start).total_seconds(),
                termination_reason=ended, agent_cost=cost["assistant"], user_cost=cost["user"],
                reward_info=grade(task, talk.world, talk.messages, ended), messages=talk.messages, trial=trial, seed=seed)


def make_results():
    rng = random.Random(SEED)
    begin = datetime(2025, 9, 15, 9, 0)
    seeds = [rng.randrange(1_000_000) for _ in range(max(len(trials) for *_, trials in CASES))]  # one per trial
    user = dict(implementation="user_simulator", llm="example-user-small", llm_args={"temperature": 0.0},
                global_simulation_guidelines=None)
    agent = dict(implementation="llm_agent", llm="example-agent-large", llm_args={"temperature": 0.0})
    info = dict(git_commit=f"{rng.getrandbits(160):040x}", num_trials=len(seeds), max_steps=MAX_STEPS, max_errors=MAX_ERRORS,
                user_info=user, agent_info=agent, environment_info=dict(domain_name="telecom", policy=POLICY, tool_defs=None), seed=SEED)
    simulations = []
    for trial, seed in enumerate(seeds):  # like the benchmark: every task once, then every task again
        for task, play, trials in CASES:
            if trial < len(trials):
                start = begin + timedelta(minutes=4 * len(simulations), seconds=rng.randrange(60))
                simulations.append(simulate(task, play, trial, seed, start, **trials[trial]))
    return dict(timestamp=begin.isoformat(), info=info, tasks=[task for task, *_ in CASES], simulations=simulations)


def main():
    default = Path(__file__).resolve().parent.parent / "tracekit" / "data" / "telecom.json"
    parser = argparse.ArgumentParser(description="Write tracekit's embedded sample log.")
    parser.add_argument("path", nargs="?", type=Path, default=default, help=f"default: {default}")
    path = parser.parse_args().path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(make_results(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
