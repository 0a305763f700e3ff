from pushgate.delivery.presence import EVERY, FORGOTTEN, PARTING, REPLACED, SETTLED, TWIN, Presence
from pushgate.messages.questions import Here, Node

OWN, OTHER = Node("here", 1), Node("there", 2)


def tick(presence: Presence, count: int) -> None:
    for _ in range(count):
        presence.tick()


def test_our_own_node_is_always_there() -> None:
    presence = Presence(OWN)
    presence.hear(Here(OWN))
    presence.hear(Here(OWN, leaving=True))
    tick(presence, 2 * FORGOTTEN)
    assert presence.nodes == {OWN}


def test_a_silent_node_is_forgotten_and_one_that_leaves_at_once() -> None:
    presence = Presence(OWN)
    presence.hear(Here(OTHER))
    tick(presence, FORGOTTEN - 1)
    assert presence.nodes == {OWN, OTHER}
    presence.hear(Here(OTHER))
    tick(presence, FORGOTTEN - 1)
    assert presence.nodes == {OWN, OTHER}
    tick(presence, 1)
    assert presence.nodes == {OWN}
    presence.hear(Here(OTHER))
    presence.hear(Here(OTHER, leaving=True))
    presence.hear(Here(OTHER, leaving=True))
    assert presence.nodes == {OWN}


def test_two_nodes_of_one_name_are_two() -> None:
    presence, twin = Presence(OWN), Node("there", 3)
    for _ in range(30):
        presence.hear(Here(OTHER))
        presence.hear(Here(twin))
        presence.hear(Here(Node("here", 4)))
        tick(presence, EVERY)
    assert presence.nodes == {OWN, OTHER, twin, Node("here", 4)}


def test_a_node_that_died_and_is_back_is_one() -> None:
    presence, back = Presence(OWN), Node("there", 3)
    presence.hear(Here(OTHER))
    presence.hear(Here(back))
    tick(presence, REPLACED)
    assert presence.nodes == {OWN, OTHER, back}
    presence.hear(Here(back))
    assert presence.nodes == {OWN, back}


def test_it_is_settled_once_everybody_had_the_time_to_say_so() -> None:
    presence = Presence(OWN)
    assert SETTLED > EVERY
    for _ in range(2):
        assert not presence.settled
        tick(presence, SETTLED)
        assert presence.settled
        presence.unsettle()


def test_another_running_node_of_our_name_is_a_twin_and_one_that_was_before_us_is_none() -> None:
    presence, twin = Presence(OWN), Node(OWN.name, 3)

    def speak(seconds: int) -> None:
        for _ in range(seconds):
            presence.hear(Here(twin))
            presence.hear(Here(OTHER))
            tick(presence, EVERY)

    speak(1)
    tick(presence, 2 * FORGOTTEN)
    assert not presence.twin, "it has spoken once, and is gone"
    speak(TWIN // EVERY)
    assert presence.twin
    tick(presence, REPLACED)
    assert not presence.twin


def test_homes_are_known_once_every_node_has_said_its_own() -> None:
    presence = Presence(OWN)
    assert presence.homes is None
    assert not presence.announced
    presence.hear(Here(OTHER, home=2))
    assert presence.homes is None, "we are not known ourselves"
    presence.hear(Here(OWN, home=1))
    assert presence.announced
    assert presence.homes == {1, 2}
    presence.hear(Here(Node("third", 3)))
    assert presence.homes is None, "it has none: an older version, or its part of the directory is not whole"
    presence.hear(Here(Node("third", 3), home=3))
    assert presence.homes == {1, 2, 3}
    presence.hear(Here(OWN))
    assert presence.homes is None
    presence.hear(Here(OWN, home=1))
    presence.hear(Here(OWN, leaving=True))
    assert presence.homes == {1, 2, 3}


def test_the_home_of_a_node_that_is_gone_counts_a_little_longer() -> None:
    presence, heir = Presence(OWN), Node("there", 3)
    presence.hear(Here(OWN, home=1))
    presence.hear(Here(OTHER, home=2))
    presence.hear(Here(OTHER, leaving=True))
    tick(presence, PARTING - 1)
    assert presence.homes == {1, 2}
    tick(presence, 1)
    assert presence.homes == {1}
    presence.hear(Here(OTHER, home=2))
    presence.hear(Here(heir, home=2))  # it was upgraded
    presence.hear(Here(OTHER, leaving=True))
    tick(presence, FORGOTTEN - 1)
    assert presence.homes == {1, 2}
    tick(presence, 1 + PARTING)
    assert presence.homes == {1}, "a silent node too is forgotten"


def test_a_node_without_a_home_that_is_gone_is_in_nobodys_way() -> None:
    presence = Presence(OWN)
    presence.hear(Here(OWN, home=1))
    presence.hear(Here(OTHER))
    assert presence.homes is None
    presence.hear(Here(OTHER, leaving=True))
    assert presence.homes is not None
    tick(presence, PARTING)
    assert presence.homes == {1}
