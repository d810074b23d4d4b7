"""The words of the starter task. UNSEEN ones are kept for the held-out orders.

In sentences {items}, {customer}, {city} and {day} stand for what the answer must hold.
"""

from __future__ import annotations

from collections.abc import Callable

NAMES = [
    "Anna", "Ben", "Carla", "David", "Elena", "Felix", "Grace", "Hassan", "Ines", "Jonas",
    "Kira", "Liam", "Maria", "Nils", "Olga", "Pedro", "Quinn", "Rosa", "Samir", "Tina",
    "Umar", "Vera", "Walter", "Xenia", "Yusuf", "Zoe", "Mrs. Keller", "Mr. Novak", "Dr. Singh",
    "Mr. Tanaka", "Ms. Okafor", "Anna Berg", "Tom Reed", "Lucy Hall", "Ivan Petrov",
    "Sofia Costa", "Emma Clark", "Noah Fischer", "Mei Lin", "Omar Haddad",
]
UNSEEN_NAMES = ["Greta", "Oscar", "Mr. Weber", "Julia Moore", "Paul Stein", "Nadia", "Mrs. Ito"]
CITIES = [
    "Berlin", "Paris", "Madrid", "Rome", "Vienna", "Oslo", "Dublin", "Lisbon", "Prague", "Warsaw",
    "Athens", "Zurich", "Boston", "Chicago", "Denver", "Toronto", "Sydney", "Tokyo", "Cairo",
    "Mumbai", "New York", "Cape Town", "San Diego", "Milan", "Hamburg", "Leeds", "Seattle",
]
UNSEEN_CITIES = ["Munich", "London", "Dallas", "Geneva", "Porto", "Los Angeles"]
GOODS = [
    "lamp", "mug", "chair", "desk", "pen", "notebook", "backpack", "umbrella", "keyboard",
    "kettle", "candle", "blanket", "pillow", "towel", "poster", "bottle", "cable", "charger",
    "headset", "mirror", "rug", "vase", "clock", "bowl", "plate", "spoon", "apron", "basket",
    "bucket", "ladder", "hammer", "desk lamp", "office chair", "phone case", "yoga mat",
    "bike helmet", "coffee mug", "water bottle", "picture frame", "tea towel", "garden hose",
]
UNSEEN_GOODS = ["table", "jacket", "teapot", "monitor", "wall clock", "lunch bag", "stool"]
ADJECTIVES = ["red", "blue", "green", "black", "white", "large", "small", "wooden"]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "March", "April", "May", "June", "July", "September", "October"]


def plural(name: str) -> str:
    """Regular plurals are all that the goods need."""
    return name + "s"


def _one(name: str) -> list[str]:
    return ["one", "an" if name[0] in "aeiou" else "a"]


NUMBERS: dict[int, Callable[[str], list[str]]] = {
    1: _one, 2: lambda _: ["two", "two", "a couple of", "a pair of"], 3: lambda _: ["three"],
    4: lambda _: ["four"], 5: lambda _: ["five"], 6: lambda _: ["six", "six", "half a dozen"],
    7: lambda _: ["seven"], 8: lambda _: ["eight"], 9: lambda _: ["nine"], 10: lambda _: ["ten"],
    11: lambda _: ["eleven"], 12: lambda _: ["twelve", "a dozen", "a dozen"],
    15: lambda _: ["fifteen"], 20: lambda _: ["twenty"], 30: lambda _: ["thirty"],
}

MAIN = {
    "polite": [
        "I would like to order {items}", "could you please send {items} to {city}",
        "please deliver {items} by {day}", "we need {items} at our office in {city}",
        "my name is {customer} and I would like {items}", "I am writing to order {items}",
        "could I have {items} delivered to {city} on {day}?", "please put {items} aside for me",
        "would it be possible to get {items} by {day}?", "I'd be grateful for {items}",
        "this is {customer}, I wish to buy {items}", "kindly ship {items} to {city}",
        "{customer} from {city} here, I would like {items}", "for {day} I need {items}, please",
        "we would like {items} for our new place in {city}", "I'll take {items}, please",
    ],
    "chat": [
        "hey can i get {items}", "{items} please", "need {items}", "i want {items} sent to {city}",
        "can you get me {items} by {day}", "hi {customer} here, {items} for me", "gimme {items}",
        "just {items} this time", "ok so i need {items} in {city}", "{day} i need {items}",
        "it's {customer}, can u send {items}", "ordering {items}", "put me down for {items}",
        "{city} again, {items} pls", "thinking {items}", "we ran out, so {items} pls",
        "yo {items} to {city} by {day}", "{customer} speaking, send {items}",
    ],
    "note": [
        "{customer} called and wants {items}", "order from {customer}: {items}",
        "{items} for {customer}", "{customer} ({city}) needs {items}", "send {items} to {city}",
        "customer asks for {items}", "{customer} wants {items} on {day}", "ship {items}",
        "phone order, {items}", "{items} go to {city} on {day}", "{day}: {items} for {customer}",
        "{customer}, {city}, {items}", "please pack {items}", "spoke to {customer}, {items}",
        "{city} branch is short of {items}", "reserve {items} until {day}",
    ],
}
UNSEEN_MAIN = {
    "polite": ["may I ask you for {items}", "our team in {city} is looking for {items}",
               "I hope you can supply {items} before {day}", "do you have {items} for me?"],
    "chat": ["hook me up with {items}", "add {items} to my order", "{customer} again lol, {items}"],
    "note": ["{customer} emailed about {items}", "new request: {items}",
             "{items}, destination {city}"],
}

LOOSE = {
    "polite": {
        "customer": ["best regards, {customer}", "my name is {customer}", "yours, {customer}",
                     "the order is for {customer}", "kind regards, {customer}",
                     "thanks, {customer}", "please book it under {customer}", "this is {customer}"],
        "city": ["the address is in {city}", "please ship to {city}", "I live in {city}",
                 "delivery goes to {city}", "we are based in {city}", "it should go to {city}"],
        "day": ["it should arrive by {day}", "please deliver on {day}", "I need it on {day}",
                "we will be at home on {day}", "{day} would suit us",
                "no later than {day}, please"],
    },
    "chat": {
        "customer": ["{customer} here", "im {customer}", "name's {customer}", "its for {customer}",
                     "- {customer}", "thx {customer}", "cheers {customer}"],
        "city": ["im in {city}", "to {city}", "send it to {city}", "{city} as always",
                 "shipping to {city}", "its {city}"],
        "day": ["by {day}", "on {day}", "{day} works", "for {day}", "need it {day}",
                "{day} at the latest"],
    },
    "note": {
        "customer": ["customer {customer}", "for {customer}", "name {customer}",
                     "ordered by {customer}", "caller was {customer}"],
        "city": ["to {city}", "ships to {city}", "address in {city}", "city {city}",
                 "goes to {city}"],
        "day": ["due {day}", "on {day}", "deliver {day}", "wanted by {day}", "pick up {day}",
                "not after {day}"],
    },
}
UNSEEN_LOOSE: dict[str, dict[str, list[str]]] = {
    "polite": {"customer": ["sincerely, {customer}", "{customer} is the name on the account"],
               "city": ["our shop is in {city}", "please send everything to {city}"],
               "day": ["we are counting on {day}", "it has to be here on {day}"]},
    "chat": {"customer": ["yours truly {customer}", "you know me, {customer}"],
             "city": ["drop it off in {city}"], "day": ["{day} would be great"]},
    "note": {"customer": ["contact {customer}"], "city": ["destination {city}"],
             "day": ["deadline {day}"]},
}

URGENT = {
    "polite": ["it is urgent", "this is rather urgent", "please hurry",
               "as soon as possible please", "we need this very quickly",
               "please treat this as urgent"],
    "chat": ["asap", "its urgent!!", "hurry pls", "super urgent", "need it fast", "quick please!",
             "in a hurry"],
    "note": ["urgent", "URGENT!", "rush order", "top priority", "asap", "high priority"],
    "form": ["Priority: high", "URGENT", "Urgent: yes", "Rush: yes"],
}
UNSEEN_URGENT = ["very urgent!", "please rush this", "urgent, please"]
NOT_URGENT = ["take your time", "whenever it suits you", "any time is fine"]

ASIDES = [
    "the last delivery was perfect", "do you take cards?", "my account number is 4471",
    "I paid 30 euros last time", "the old ones broke", "my neighbour told me about your shop",
    "please ring the bell twice", "the weather is awful here",
    "I called yesterday but nobody answered", "the invoice can go by mail", "same as in spring",
    "love your shop", "it is a birthday present", "we have 3 floors and no lift",
    "no plastic wrapping please", "the courier was late last week",
    "we have been customers for 5 years", "is the blue one back in stock?",
    "gift wrap would be nice", "sorry for the late message", "my brother has two of them",
    "the website did not work", "leave it with the porter", "I hope you are well",
    "call me on 555 0134",
]
UNSEEN_ASIDES = [
    "the dog chewed up the old ones", "our office moved to the 2nd floor",
    "keep the receipt please", "I have a voucher worth 10 euros", "you were closed last week",
]
GREETINGS = ["hello", "good morning", "dear team", "hi there", "good afternoon", "hello,"]
THANKS = ["thank you", "many thanks", "thanks a lot", "thank you very much"]

LABELS = {
    "customer": ["Customer", "Name", "Client", "From"],
    "items": ["Items", "Order", "Goods", "Wanted"],
    "city": ["City", "Ship to", "Destination", "Place"],
    "day": ["Day", "Due", "Deliver on", "When"],
}
UNSEEN_LABELS = {"customer": ["Buyer"], "items": ["Products"], "city": ["Town"], "day": ["Date"]}
