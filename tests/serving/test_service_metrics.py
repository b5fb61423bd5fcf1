"""Figures as Prometheus reads them."""

import re

import pytest
from small_services import reader, with_service

from regard.serving.metrics import Histogram, Metrics

SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(\{(?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)$')
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def read(page: str) -> dict[str, dict[tuple, float]]:
    """Samples by name and labels; every line must be of the format, and stand below its type and its meaning."""
    kinds, meanings, found = {}, set(), {}
    assert page.endswith("\n")
    for line in page.splitlines():
        if line.startswith("# HELP "):
            meanings.add(line.split()[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            assert name not in kinds
            kinds[name] = kind
        else:
            match = SAMPLE.match(line)
            assert match, line
            name = match[1]
            base = name if name in kinds else re.sub("_(bucket|sum|count)$", "", name)
            assert base in kinds
            assert base in meanings
            assert (kinds[base] == "histogram") == (base != name)
            labels = tuple(LABEL.findall(match[2] or ""))
            assert labels not in found.setdefault(name, {})
            found[name][labels] = float(match[3])
    return found


def test_a_histogram_counts_what_lies_at_or_below_each_bound():
    histogram = Histogram((1.0, 2.5, 5.0))
    for value in (0.5, 1.0, 2.0, 5.0, 7.0):
        histogram.add(value)
    assert list(histogram.lines("size", (("of", "a"),))) == [
        'size_bucket{of="a",le="1.0"} 2',
        'size_bucket{of="a",le="2.5"} 3',
        'size_bucket{of="a",le="5.0"} 4',
        'size_bucket{of="a",le="+Inf"} 5',
        'size_sum{of="a"} 15.5',
        'size_count{of="a"} 5',
    ]


def test_labels_are_escaped():
    metrics = Metrics()
    metrics.request('a"b\\c\nd', 200, 0.1)
    assert 'endpoint="a\\"b\\\\c\\nd",status="200"} 1' in metrics.page({})
    read(metrics.page({}))


def test_the_page_tells_requests_latencies_batches_tokens_and_the_queue():
    async def talk(client, _):
        for body in ({"texts": ["the red dog", "a man"]}, {"texts": ["a"]}, {"text": "a"}):
            await client.post("/predict", json=body)
        await client.post("/nothing", json={})
        await client.get("/health")
        found = await client.get("/metrics")
        assert found.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        return read(found.text)

    found = with_service(reader(), talk)
    requests = {(labels[0][1], labels[1][1]): value for labels, value in found["regard_requests_total"].items()}
    assert requests == {("/predict", "200"): 2, ("/predict", "422"): 1, ("other", "404"): 1, ("/health", "200"): 1}
    assert found["regard_request_seconds_count"][("endpoint", "/predict"),] == 3
    assert found["regard_request_seconds_bucket"][("endpoint", "/predict"), ("le", "+Inf")] == 3
    assert 0 < found["regard_request_seconds_sum"][("endpoint", "/predict"),] < 60
    assert found["regard_batch_inputs_sum"][()] == 3
    assert found["regard_batch_tokens_sum"][()] == found["regard_tokens_total"][("kind", "read"),] == 5 + 4 + 3
    assert (
        found["regard_queue_length"][()] == found["regard_queue_tokens"][()] == found["regard_requests_open"][()] == 0
    )
    assert found["regard_ready"][()] == 1
    for name, samples in found.items():
        if name.endswith("_bucket"):
            by_rest = {}
            for labels, value in samples.items():
                by_rest.setdefault(labels[:-1], []).append(value)
            for values in by_rest.values():
                assert values == sorted(values)


@pytest.mark.parametrize("path", ["/predict/../etc", "/a" * 500, "/%00", "/é"])
def test_no_path_of_a_client_becomes_a_label(path):
    async def talk(client, _):
        assert (await client.get(path)).status_code in (404, 405)
        return read((await client.get("/metrics")).text)

    found = with_service(reader(), talk)
    assert {labels[0][1] for labels in found["regard_requests_total"]} == {"other"}
