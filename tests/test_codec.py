import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from prefrl.labels import codec
from prefrl.labels.codec import StoreError, decode_clip, encode_clip
from prefrl.types import Clip

FINITE = st.floats(width=32, allow_nan=False)


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    length, size = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    image, box = draw(st.booleans()), draw(st.booleans())
    n = length + (draw(st.integers(1, 4)) if image else 1)
    observations = (
        npst.arrays(np.uint8, (n, size, size))
        if image
        else npst.arrays(np.float32, (n, size), elements=FINITE)
    )
    actions = (
        npst.arrays(np.float32, (length, size), elements=FINITE)
        if box
        else npst.arrays(np.int64, length)
    )
    return Clip(
        observations=draw(observations),
        starts=draw(npst.arrays(np.bool_, n)),
        actions=draw(actions),
        true_rewards=draw(npst.arrays(np.float32, length, elements=FINITE)),
        env_step=draw(st.integers(0, 2**40)),
    )


@given(clip=clips())
def test_a_clip_survives_encoding_to_the_last_bit(clip):
    back = decode_clip(encode_clip(clip))
    assert back.id == clip.id
    assert back.env_step == clip.env_step
    for name in ("observations", "starts", "actions", "true_rewards"):
        before, after = getattr(clip, name), getattr(back, name)
        assert after.dtype == before.dtype
        assert after.tobytes() == before.tobytes()


def test_encoding_the_same_clip_gives_the_same_bytes(make_clip):
    assert encode_clip(make_clip(3, image=True)) == encode_clip(make_clip(3, image=True))


def test_a_clip_of_pong_stays_small():
    ale_py = pytest.importorskip("ale_py")
    envs = ale_py.AtariVectorEnv("pong", num_envs=2, stack_num=1, reward_clipping=False)
    rng = np.random.default_rng(0)
    frames = [envs.reset()[0][0, 0].copy()]
    frames += [envs.step(rng.integers(0, 6, 2))[0][0, 0].copy() for _ in range(150)]
    envs.close()
    clip = Clip(
        observations=np.stack(frames[-28:]),
        starts=np.zeros(28, np.bool_),
        actions=rng.integers(0, 6, 25),
        true_rewards=np.zeros(25, np.float32),
        env_step=0,
    )
    assert clip.observations.shape == (28, 84, 84)
    assert len(encode_clip(clip)) < 20_000


def test_a_clip_that_would_fill_the_memory_is_refused_before_it_is_unpacked(make_clip, monkeypatch):
    data = encode_clip(make_clip(image=True))
    monkeypatch.setattr(codec, "MOST_BYTES", 10_000)
    assert decode_clip(data).id == make_clip(image=True).id
    large = encode_clip(make_clip(image=True, length=200))
    monkeypatch.setattr(codec.np, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(StoreError, match=r"it would take 1\d,\d{3} bytes"):
        decode_clip(large)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "noise", "pickle", "array"])
def test_damaged_bytes_are_a_store_error_of_one_line(make_clip, damage):
    whole = encode_clip(make_clip(image=True))
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    pickled = io.BytesIO()
    np.savez(pickled, observations=np.array([{"an": "object"}], dtype=object))
    data = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:200] + bytes(b ^ 0xFF for b in whole[200:240]) + whole[240:],
        "empty": b"",
        "noise": bytes(range(256)),
        "pickle": pickled.getvalue(),
        "array": array.getvalue(),
    }[damage]
    with pytest.raises(StoreError, match="not a readable clip") as caught:
        decode_clip(data)
    assert "\n" not in str(caught.value)
