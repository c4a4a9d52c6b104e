"""What people are asked to look for, unless the run says so itself."""

from collections.abc import Mapping

GENERAL = "Which clip shows more of what the agent should do?"

OF_ENVIRONMENT: Mapping[str, str] = {
    "prefrl/MovingDot-v0": "In which clip does the dot get nearer to the centre, or stay there?",
    "prefrl/MovingDotPosition-v0": (
        "In which clip does the dot get nearer to the centre, or stay there?"
    ),
    "prefrl/CartPoleUpright-v0": (
        "In which clip is the pole more upright, and the cart nearer to the middle?"
    ),
    "Pendulum-v1": "In which clip is the pendulum nearer to standing upright, and calmer?",
    "ALE/Pong-v5": "In which clip does the green player on the right do better?",
    "ALE/Enduro-v5": "In which clip does the car overtake more, and crash less?",
}


def instructions_for(env_id: str) -> str:
    """One question about two clips of the environment."""
    return OF_ENVIRONMENT.get(env_id, GENERAL)
