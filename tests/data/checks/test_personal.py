"""Personal data is found by its form; what only has many digits is left alone."""

from __future__ import annotations

import random
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.data.checks.personal import find_personal, masked

INNOCENT = """\
Order 4111-2222 shipped on 2024-03-01 at 10:30:00
order number 4539148803436467 was refunded
Invoice 2024-000123-4567, ref 123-456-7890-12
Version 10.15.7.1234 and 2024.10.15.1200
Server 192.168.100.200 answers 10.0.0.1:8080
UUID 550e8400-e29b-41d4-a716-446655440000
12345678901234567890 is a big number
ISBN 978-3-16-148410-0, ISBN 9783161484100
2024-03-01 2024-03-02 2024-03-03
Call 3 times within 10 minutes and text 5 people
call the function with 1234567890 elements
phone model 6210 4530 1120
logo@2x.png and icon@3x.jpg
git@github.com:user/repo.git
decorator @app.route and @user mention
npm install react@18.2.0 lodash@4.17.21
1,234,567,890 people and $1 234 567.89
lat 48.137154 lon 11.576124
SHA 9c1185a5c5e9fc54612808977ee8f548b2258d31
1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
sk-learn is a library, sk-loading-spinner-with-a-long-name-too
hf_hub_download and hf_transfer
timestamps 1700000000 and 1700000000000
+1 point, +100 bonus and +1000000000 views""".splitlines()

FOUND = """\
email|jane.doe@example.com|mail me at jane.doe@example.com please
email|jane+news@mail.example.co.uk|Jane <jane+news@mail.example.co.uk>.
phone|+49 151 23456789|call +49 151 23456789 today
phone|+1 (415) 555-2671|+1 (415) 555-2671
phone|(555) 123-4567|or (555) 123-4567.
phone|415-555-2671|at 415-555-2671
phone|030 12345678|Telefon: 030 12345678
phone|415 555 2671|my phone number is 415 555 2671
card|4111 1111 1111 1111|4111 1111 1111 1111
card|5500-0000-0000-0004|with 5500-0000-0000-0004.
card|3782 822463 10005|amex 3782 822463 10005
card|4539148803436467|Visa card number: 4539148803436467
key|AKIAIOSFODNN7EXAMPLE|id AKIAIOSFODNN7EXAMPLE
key|ghp_16C7e42F292c6912E7710c838347Ae178B4a|ghp_16C7e42F292c6912E7710c838347Ae178B4a
key|hf_abcdefghijklmnopqrstuvwxyzABCDEFGH|HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyzABCDEFGH
key|sk-proj-abc123def456ghi789jkl012mno345|"sk-proj-abc123def456ghi789jkl012mno345"
key|-----BEGIN RSA PRIVATE KEY-----|-----BEGIN RSA PRIVATE KEY-----""".splitlines()


@pytest.mark.parametrize("text", INNOCENT)
def test_numbers_and_names_that_belong_to_nobody_are_left_alone(text):
    assert find_personal(text) == []


@pytest.mark.parametrize("line", FOUND)
def test_each_kind_is_found_where_it_stands_and_masked_so_that_it_is_not_found_again(line):
    kind, found, text = line.split("|", 2)
    assert [(one.kind, text[one.start:one.end]) for one in find_personal(text)] == [(kind, found)]
    assert found not in masked(text)
    assert find_personal(masked(text)) == []


def test_random_orders_dates_addresses_and_versions_raise_no_false_alarm():
    draw = random.Random(0)
    for _ in range(1000):
        text = (
            f"Order {draw.randint(10**6, 10**15)} of {draw.randint(2000, 2030)}-"
            f"{draw.randint(1, 12):02}-{draw.randint(1, 28):02}, ref "
            f"{uuid.UUID(int=draw.getrandbits(128))}, ip "
            f"{'.'.join(str(draw.randint(0, 255)) for _ in range(4))}, "
            f"v{draw.randint(0, 20)}.{draw.randint(0, 99)}.{draw.randint(0, 9999)}, no. "
            f"{draw.randint(10**15, 10**16)} {draw.randint(1000, 9999)}, "
            f"{draw.uniform(0, 1e6):.2f}")
        assert find_personal(text) == []


def test_a_card_needs_its_check_digit():
    assert find_personal("4111 1111 1111 1112") == []


def test_a_mask_tells_the_kind_and_not_the_person():
    assert masked("jane.doe@example.com, +49 151 23456789, 4111 1111 1111 1111") == (
        "j***@e***.com, +** *** ******89, **** **** **** **11")


@pytest.mark.parametrize("text", [
    "a@" * 150_000, "1 " * 150_000, "1" * 300_000, "+1" * 150_000, "sk-" * 100_000,
    "eyJ" * 100_000, "eyJaaaaaaaaaa." * 20_000, "phone 1234567 " * 20_000, "1" + " " * 300_000,
    "-----BEGIN " * 30_000 + "PRIVATE KEY", "a@" + "a." * 150_000 + "1",
], ids=lambda text: text[:14])
def test_long_hostile_texts_come_to_an_end(text):
    """A quadratic search takes minutes over these, a linear one less than a second."""
    assert masked(text).startswith(text[0])


@given(st.text(alphabet="ab1 2@.+-()5:\n", max_size=200))
def test_masking_any_text_keeps_the_rest_of_it(text):
    matches = find_personal(text)
    at = 0
    for match in matches:
        assert at <= match.start < match.end
        assert text[at:match.start] in masked(text)
        at = match.end
    assert matches or masked(text) == text
