"""The dashboard against the types that Grafana publishes of what it reads; Grafana is not asked."""

import copy
import json
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

GRAFANA = Path(__file__).parents[2] / "monitoring" / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "tradewind.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]


def lost(given: Any, read: Any, at: str = "") -> Iterator[str]:
    """What does not come back of a document: keys that no type has, and values that changed."""
    if isinstance(given, dict) and isinstance(read, dict):
        for key, value in given.items():
            if key in read:
                yield from lost(value, read[key], f"{at}.{key}")
            else:
                yield f"{at}.{key}"
    elif isinstance(given, list) and isinstance(read, list) and len(given) == len(read):
        for index, (one, other) in enumerate(zip(given, read, strict=True)):
            yield from lost(one, other, f"{at}[{index}]")
    elif given != read:
        yield at


def read_as_grafana(dashboard: dict[str, Any]) -> Any:
    register_default_plugins()  # the types of each kind of panel and query
    return json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))


def test_dashboard_has_no_key_that_grafana_does_not_know() -> None:
    assert list(lost(DASHBOARD, read_as_grafana(DASHBOARD))) == []


def test_key_that_grafana_does_not_know_is_found_in_panels_options_and_queries() -> None:
    broken = copy.deepcopy(DASHBOARD)
    panel = next(panel for panel in broken["panels"] if panel["type"] == "stat")
    for place in (panel, panel["options"], panel["targets"][0], panel["fieldConfig"]["defaults"]):
        place["mistyped"] = 1
    assert len(list(lost(broken, read_as_grafana(broken)))) == 4


def test_panels_have_ids_of_their_own_known_units_and_the_provisioned_datasource() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    known = {value for name, value in vars(units).items() if not name.startswith("_")}
    file = GRAFANA / "provisioning" / "datasources" / "prometheus.yml"
    (datasource,) = yaml.safe_load(file.read_text())["datasources"]
    for panel in PANELS:
        if panel["type"] == "row":
            continue
        assert panel["fieldConfig"]["defaults"]["unit"] in known, panel["title"]
        asked = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {item["uid"] for item in asked} == {datasource["uid"]}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)


def test_panels_lie_side_by_side_within_the_grid() -> None:
    for panel in PANELS:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24, panel["title"]
    for one, other in combinations(PANELS, 2):
        here, there = one["gridPos"], other["gridPos"]
        beside = here["x"] + here["w"] <= there["x"] or there["x"] + there["w"] <= here["x"]
        below = here["y"] + here["h"] <= there["y"] or there["y"] + there["h"] <= here["y"]
        assert beside or below, (one["title"], other["title"])
