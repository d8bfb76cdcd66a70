from supplychain.events import Event, Payload


class Part(Payload):
    size: int


class Tried(Event, type="lab.tried", version=2, subject="thing/{thing}"):
    """Somebody tried something on a thing."""

    thing: str
    number: int
    behaviour: str = "ok"
    parts: list[Part] = []


@Tried.upcast(from_version=1)
def _name_became_thing(data):
    return {**data, "thing": data.pop("name")} if "name" in data else data


class Counted(Event, type="lab.counted", version=1, subject="thing/{thing}"):
    """The slow consumer has counted a thing."""

    thing: str
    number: int
