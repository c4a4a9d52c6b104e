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
    # Of the games: what the paper told its people, appendix B.2, in fewer words.
    "ALE/BeamRider-v5": "In which clip are more enemies shot, and is the own ship not hit?",
    "ALE/Breakout-v5": "In which clip are more blocks broken, and is the ball not lost?",
    "ALE/Enduro-v5": "In which clip does the car overtake more, and is it overtaken less?",
    "ALE/Qbert-v5": "In which clip do more blocks change colour, without a fall or an enemy?",
    "ALE/Seaquest-v5": (
        "In which clip are more fish and submarines shot and divers saved, with air left?"
    ),
    "ALE/SpaceInvaders-v5": "In which clip are more invaders shot, and is the own ship not hit?",
    "prefrl/EnduroAlongside-v0": (
        "In which clip does the car drive and keep level with the others, passing few and passed "
        "by few?"
    ),
}


def instructions_for(env_id: str) -> str:
    """One question about two clips of the environment."""
    return OF_ENVIRONMENT.get(env_id, GENERAL)
