"""Small models of tau2-bench's shop and airline: what each writing tool asks for, and what it leaves in the data.

They follow the behaviour of the benchmark's tools and share no code with the scorer, so that a test can
let two lists of calls run on them and see whether the data is the same in the end.
"""
import copy
import json


class Refused(Exception):
    "A tool refuses a call"


def need(condition, why):
    if not condition: raise Refused(why)


class Shop:
    "A model with its data; `call` runs one tool"
    def __init__(self): self.data = copy.deepcopy(self.START)

    def call(self, name, args):
        "Whether the call failed, and what it answered"
        try: return False, json.dumps(getattr(self, name)(**copy.deepcopy(args)))
        except (Refused, TypeError, KeyError) as e: return True, f"Error: {e}"

    def same_as(self, other): return json.dumps(self.data, sort_keys=True) == json.dumps(other.data, sort_keys=True)


ITEMS = {f"{kind}{n}": {"kind": kind, "price": price, "options": f"{kind}-{n}", "free": n != 3}
         for kind, prices in {"a": (10.1, 20.2, 30.3, 0.7), "b": (5.55, 17.89, 23.45, 99.99), "c": (1.1, 2.2, 3.3, 4.4)}.items()
         for n, price in enumerate(prices)}
HOME = {"address1": "1 St", "address2": "", "city": "C", "state": "NY", "country": "USA", "zip": "1"}


def order(status, card, items):
    return {"status": status, "address": HOME, "items": [{"id": i, "price": ITEMS[i]["price"], "options": ITEMS[i]["options"]} for i in items],
            "payment_history": [{"type": "payment", "amount": 50.55, "payment_method_id": card}]}


class Retail(Shop):
    "One customer with three cards and five orders; item a0 is twice in two of them"
    START = {"addresses": {"u1": HOME, "u2": HOME}, "cards": {"credit_card_1": None, "paypal_1": None, "gift_card_1": 40.0},
             "orders": {"#W0": order("pending", "credit_card_1", ["a0", "a1", "b0", "c0"]), "#W1": order("pending", "gift_card_1", ["a0", "a1", "b0", "c0", "a0"]),
                        "#W2": order("delivered", "credit_card_1", ["a0", "a1", "b0", "c0"]), "#W3": order("delivered", "gift_card_1", ["a0", "a1", "b0", "c0", "a0"]),
                        "#W4": order("processed", "paypal_1", ["a0", "b0"])}}

    def take(self, order_id, allowed):
        need(order_id in self.data["orders"], "Order not found")
        found = self.data["orders"][order_id]
        need(allowed(found["status"]), f"order is {found['status']}")
        return found

    def balance(self, card): return self.data["cards"][card]

    def spend(self, card, amount):
        if self.balance(card) is not None: self.data["cards"][card] = round(self.balance(card) - amount, 2)

    def afford(self, card, amount):
        need(card in self.data["cards"], "Payment method not found")
        need(self.balance(card) is None or self.balance(card) >= amount, "Insufficient gift card balance")

    def difference(self, order, item_ids, new_item_ids, fresh):
        "What new items cost more than the old ones"
        held = [i["id"] for i in order["items"]]
        need(all(item_ids.count(i) <= held.count(i) for i in item_ids), "item not found")
        need(len(item_ids) == len(new_item_ids), "numbers differ")
        total = 0
        for old, new in zip(item_ids, new_item_ids):
            need(not fresh or old != new, "the new item is the old one")
            item = next(i for i in order["items"] if i["id"] == old)
            need(new in ITEMS and ITEMS[new]["kind"] == ITEMS[old]["kind"] and ITEMS[new]["free"], "not available")
            total += ITEMS[new]["price"] - item["price"]
        return total

    def get_order_details(self, order_id): return self.take(order_id, lambda status: True)

    def cancel_pending_order(self, order_id, reason):
        order = self.take(order_id, lambda status: status == "pending")
        need(reason in ("no longer needed", "ordered by mistake"), "Invalid reason")
        refunds = [{**p, "type": "refund"} for p in order["payment_history"]]
        for p in refunds: self.spend(p["payment_method_id"], -p["amount"])
        order |= {"status": "cancelled", "reason": reason}
        order["payment_history"] += refunds
        return order

    def modify_pending_order_items(self, order_id, item_ids, new_item_ids, payment_method_id):
        order = self.take(order_id, lambda status: status == "pending")
        cost = self.difference(order, item_ids, new_item_ids, True)
        self.afford(payment_method_id, cost)
        order["payment_history"].append({"type": "payment" if cost > 0 else "refund", "amount": abs(cost), "payment_method_id": payment_method_id})
        self.spend(payment_method_id, cost)
        for old, new in zip(item_ids, new_item_ids):
            item = next(i for i in order["items"] if i["id"] == old)
            item |= {"id": new, "price": ITEMS[new_item_ids[-1]]["price"], "options": ITEMS[new_item_ids[-1]]["options"]}   # the last one's, for all
        order["status"] = "pending (item modified)"
        return order

    def modify_pending_order_payment(self, order_id, payment_method_id):
        order = self.take(order_id, lambda status: "pending" in status)
        need(payment_method_id in self.data["cards"], "Payment method not found")
        paid = order["payment_history"]
        need(len(paid) == 1 and paid[0]["type"] == "payment", "There should be exactly one payment")
        need(paid[0]["payment_method_id"] != payment_method_id, "The new payment method should be different")
        self.afford(payment_method_id, paid[0]["amount"])
        self.spend(payment_method_id, paid[0]["amount"])
        self.spend(paid[0]["payment_method_id"], -paid[0]["amount"])
        paid += [{**paid[0], "payment_method_id": payment_method_id}, {**paid[0], "type": "refund"}]
        return order

    def modify_pending_order_address(self, order_id, **address):
        order = self.take(order_id, lambda status: "pending" in status)
        order["address"] = address
        return order

    def modify_user_address(self, user_id, **address):
        need(user_id in self.data["addresses"], "User not found")
        self.data["addresses"][user_id] = address

    def exchange_delivered_order_items(self, order_id, item_ids, new_item_ids, payment_method_id):
        order = self.take(order_id, lambda status: status == "delivered")
        cost = round(self.difference(order, item_ids, new_item_ids, False), 2)
        self.afford(payment_method_id, cost)
        order |= {"status": "exchange requested", "old": sorted(item_ids), "new": sorted(new_item_ids), "card": payment_method_id, "cost": cost}
        return order

    def return_delivered_order_items(self, order_id, item_ids, payment_method_id):
        order = self.take(order_id, lambda status: status == "delivered")
        self.afford(payment_method_id, 0)
        need("gift" in payment_method_id or payment_method_id == order["payment_history"][0]["payment_method_id"], "Payment method should be the original payment method")
        held = [i["id"] for i in order["items"]]
        need(all(item_ids.count(i) <= held.count(i) for i in item_ids), "Some item not found")
        order |= {"status": "return requested", "old": sorted(item_ids), "card": payment_method_id}
        return order


FLIGHTS = {f"HAT{n}": {"economy": 100 + n % 2, "business": 300} for n in range(4)}


class Airline(Shop):
    "One traveller with three cards and two reservations; four flights on one day, with few seats"
    START = {"cards": {"credit_card_1": None, "gift_card_1": 250, "certificate_1": 500}, "seats": {f: {"economy": 3, "business": 1} for f in FLIGHTS}, "made": [],
             "reservations": {id: {"cabin": "economy", "flights": [["HAT0", 100]], "passengers": [["A", "B", "1"]], "paid": [["credit_card_1", 100]],
                                   "bags": [1, 0], "status": None} for id in ("R1", "R2")}}

    def reservation(self, id):
        need(id in self.data["reservations"], "Reservation not found")
        return self.data["reservations"][id]

    def pay(self, reservation, card, price):
        "Pay what a change costs, or get back what it saves"
        need(card in self.data["cards"], "Payment method not found")
        need("certificate" not in card, "Certificate cannot be used")
        if "gift" in card:
            need(self.data["cards"][card] >= price, "Gift card balance is not enough")
            self.data["cards"][card] -= price
        if price: reservation["paid"].append([card, price])

    def offer(self, flight, cabin, passengers):
        need(flight["flight_number"] in FLIGHTS and flight["date"] == "2024-05-20", "Flight not found")
        need(self.data["seats"][flight["flight_number"]][cabin] >= passengers, "Not enough seats")
        return FLIGHTS[flight["flight_number"]][cabin]

    def get_user_details(self, user_id): return {"payment_methods": self.data["cards"]}

    def book_reservation(self, user_id, cabin, flights, passengers, payment_methods, total_baggages, nonfree_baggages):
        free = [id for id in ("HATHAT", "HATHAU", "HATHAV") if id not in self.data["reservations"]]
        need(free, "Too many reservations")
        new = {"cabin": cabin, "flights": [[f["flight_number"], self.offer(f, cabin, len(passengers))] for f in flights], "status": None,
               "passengers": [[p["first_name"], p["last_name"], p["dob"]] for p in passengers], "bags": [int(total_baggages), int(nonfree_baggages)],
               "paid": [[p["payment_id"], int(p["amount"])] for p in payment_methods]}
        for card, amount in new["paid"]:
            need(card in self.data["cards"], "Payment method not found")
            need("credit" in card or self.data["cards"][card] >= amount, "Not enough balance")
        price = sum(price for _, price in new["flights"])*len(passengers) + 50*nonfree_baggages
        need(sum(amount for _, amount in new["paid"]) == price, "Payment amount does not add up")
        for card, amount in new["paid"]:
            if "gift" in card: self.data["cards"][card] -= amount
            elif "certificate" in card: del self.data["cards"][card]
        for flight, _ in new["flights"]: self.data["seats"][flight][cabin] -= len(passengers)
        self.data["reservations"][free[0]] = new
        self.data["made"].append(free[0])
        return new

    def cancel_reservation(self, reservation_id):
        found = self.reservation(reservation_id)
        found["paid"] += [[card, -amount] for card, amount in found["paid"]]
        found["status"] = "cancelled"
        return found

    def send_certificate(self, user_id, amount):
        free = [id for id in ("certificate_7", "certificate_8", "certificate_9") if id not in self.data["cards"]]
        need(free, "Too many certificates")
        self.data["cards"][free[0]] = float(amount)

    def update_reservation_baggages(self, reservation_id, total_baggages, nonfree_baggages, payment_id):
        found = self.reservation(reservation_id)
        self.pay(found, payment_id, 50*max(0, nonfree_baggages - found["bags"][1]))
        found["bags"] = [total_baggages, nonfree_baggages]
        return found

    def update_reservation_flights(self, reservation_id, cabin, flights, payment_id):
        found = self.reservation(reservation_id)
        passengers, kept = len(found["passengers"]), dict(found["flights"]) if cabin == found["cabin"] else {}
        new = [[f["flight_number"], kept[f["flight_number"]] if f["flight_number"] in kept else self.offer(f, cabin, passengers)] for f in flights]
        self.pay(found, payment_id, (sum(price for _, price in new) - sum(price for _, price in found["flights"]))*passengers)
        found |= {"cabin": cabin, "flights": new}
        return found

    def update_reservation_passengers(self, reservation_id, passengers):
        found = self.reservation(reservation_id)
        need(len(passengers) == len(found["passengers"]), "Number of passengers does not match")
        found["passengers"] = [[p["first_name"], p["last_name"], p["dob"]] for p in passengers]
        return found


def retail_write(r):
    "A random write on the shop"
    order_id, card = r.choice(["#W0", "#W0", "#W1", "#W2", "#W2", "#W3", "#W4"]), r.choice(["credit_card_1", "paypal_1", "gift_card_1"])
    address = {**HOME, "address1": r.choice(["1 St", "2 St", "3 St"])}
    old = [r.choice(["a0", "a0", "a1", "b0", "c0"]) for _ in range(r.randint(1, 4))]
    if r.random() < .8: old = list(dict.fromkeys(old))
    new = [i[0] + r.choice("0122") for i in old]
    return r.choice([
        ("cancel_pending_order", {"order_id": order_id, "reason": r.choice(["no longer needed", "ordered by mistake"])}),
        ("modify_pending_order_address", {"order_id": order_id, **address}),
        ("modify_user_address", {"user_id": r.choice(["u1", "u1", "u2"]), **address}),
        ("modify_pending_order_payment", {"order_id": order_id, "payment_method_id": card}),
        ("return_delivered_order_items", {"order_id": order_id, "item_ids": old, "payment_method_id": card}),
        ("exchange_delivered_order_items", {"order_id": order_id, "item_ids": old, "new_item_ids": new, "payment_method_id": card}),
        *[("modify_pending_order_items", {"order_id": order_id, "item_ids": old, "new_item_ids": new, "payment_method_id": card})]*2])


def airline_write(r):
    "A random write on the airline"
    id, card = {"reservation_id": r.choice(["R1", "R1", "R2", "HATHAT", "HATHAU"])}, r.choice(["credit_card_1"]*4 + ["gift_card_1"]*4 + ["certificate_1"])
    flights = [{"flight_number": f"HAT{r.randint(0, 3)}", "date": "2024-05-20", **r.choice([{}, {}, {"price": 9}])} for _ in range(r.randint(1, 2))]
    passengers, bags, paid = [{"first_name": r.choice("AB"), "last_name": "B", "dob": "1", **r.choice([{}, {}, {"age": 3}])}], r.choice([0, 0, 1, 2]), r.choice([0, 1])
    price = r.choice([100 + 50*paid, 100 + 50*paid, 100.0 + 50*paid, 99])
    return r.choice([
        ("cancel_reservation", id), ("send_certificate", {"user_id": "u1", "amount": r.choice([50, 100, 100.0])}),
        *[("update_reservation_baggages", {**id, "total_baggages": r.choice([bags, bags + 1]), "nonfree_baggages": bags, "payment_id": card})]*2,
        *[("update_reservation_flights", {**id, "cabin": r.choice(["economy", "economy", "business"]), "flights": flights, "payment_id": card})]*2,
        ("update_reservation_passengers", {**id, "passengers": passengers}),
        ("book_reservation", {"user_id": "u1", "cabin": "economy", "flights": [{"flight_number": "HAT0", "date": "2024-05-20"}], "passengers": passengers,
                              "payment_methods": [{"payment_id": card, "amount": price}], "total_baggages": paid, "nonfree_baggages": paid})])


SHOPS = {"retail": (Retail, retail_write), "airline": (Airline, airline_write)}


def turned(r, writes, write):
    "The same writes with a change or two: another order, one less, one more, ids in another order, another card, more keys"
    writes = copy.deepcopy(writes)
    for _ in range(r.choice([0, 1, 1, 2])):
        way, at = r.choice(["shuffle", "less", "again", "more", "ids", "ids", "card", "keys"]), r.randrange(len(writes) + 1)
        args = writes[at][1] if at < len(writes) else {}
        if way == "shuffle": r.shuffle(writes)
        elif way == "less": del writes[at:at + 1]
        elif way == "again" and writes: writes.insert(at, copy.deepcopy(r.choice(writes)))
        elif way == "more": writes.insert(at, write(r))
        elif way == "ids":
            ways = r.sample(range(len(args.get("item_ids", ()))), len(args.get("item_ids", ())))
            args |= {k: [args[k][n] for n in ways] for k in ("item_ids", "new_item_ids") if k in args}
        elif way == "card": args |= {k: r.choice(["credit_card_1", "gift_card_1"]) for k in ("payment_id", "payment_method_id") if k in args}
        elif way == "keys": args |= {"flights": [{**f, "origin": "SFO"} for f in args["flights"]]} if "flights" in args else {}
    return writes


def episode(r, domain):
    "Expected writes, the recorded calls of a run, whether both leave the same data, and why the shop refused expected writes"
    shop, write = SHOPS[domain]
    expected = [write(r) for _ in range(r.choice([0, 1, 1, 2, 2, 3, 4]))]
    gold, run, fresh, calls = shop(), shop(), shop(), []

    def record(on, name, args):
        failed, output = on.call(name, args)
        calls.append({"name": name, "args": args, "created_by": "assistant", "output": output, "failed": failed, "item": len(calls)})

    refusals = [why for failed, why in [gold.call(name, args) for name, args in expected] if failed]
    for _, args in expected:                                    # what the run may have read at the start
        if "order_id" in args and r.random() < .5: record(fresh, "get_order_details", {"order_id": args["order_id"]})
    if domain == "airline" and r.random() < .5: record(fresh, "get_user_details", {"user_id": "u1"})
    for name, args in turned(r, expected, write): record(run, name, args)
    return [{"name": name, "arguments": args} for name, args in expected], calls, gold.same_as(run), refusals
