"""The policy on disk: tensors and JSON, nothing that runs when it is read."""

import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecNormalize

from prefrl.run_directory import RunError, write_bytes, write_json

WEIGHTS, RECORD, RESUME = "policy.safetensors", "policy.json", "policy_resume.safetensors"

# SB3 lists one shared feature extractor under three names; it is saved once.
SHARED = ("pi_features_extractor.", "vf_features_extractor.")


def save_policy(folder: Path, model: OnPolicyAlgorithm, env_steps: int) -> None:
    """Write weights and normalisation, and apart from them what further training needs."""
    folder.mkdir(parents=True, exist_ok=True)
    venv = model.get_env()
    weights = {
        name: value.contiguous()
        for name, value in model.policy.state_dict().items()
        if not name.startswith(SHARED)
    }
    record: dict[str, object] = {"env_steps": env_steps}
    if isinstance(venv, VecNormalize) and venv.norm_obs:
        assert isinstance(venv.obs_rms, RunningMeanStd)
        mean, variance = venv.obs_rms.mean, venv.obs_rms.var
        weights |= {"vec.mean": torch.tensor(mean), "vec.var": torch.tensor(variance)}
        weights["vec.count"] = torch.tensor(venv.obs_rms.count, dtype=torch.float64)
    write_bytes(folder / WEIGHTS, safetensors.torch.save(weights))
    write_bytes(folder / RESUME, safetensors.torch.save(_moments(model)))
    write_json(folder / RECORD, record)


def load_policy(folder: Path, model: OnPolicyAlgorithm) -> int:
    """Load weights and normalisation into a model built from the same configuration.

    Returns:
        The environment steps after which it was saved.

    Raises:
        RunError: There is none, or it is another network's.
    """
    try:
        weights = safetensors.torch.load((folder / WEIGHTS).read_bytes())
        if not all(value.isfinite().all() for value in weights.values()):
            raise ValueError("its weights are not finite")
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        venv = model.get_env()
        if isinstance(venv, VecNormalize) and venv.norm_obs:
            assert isinstance(venv.obs_rms, RunningMeanStd)
            shape = venv.obs_rms.mean.shape
            venv.obs_rms.mean = weights.pop("vec.mean").numpy().astype(np.float64).reshape(shape)
            venv.obs_rms.var = weights.pop("vec.var").numpy().astype(np.float64).reshape(shape)
            venv.obs_rms.count = float(weights.pop("vec.count"))
        for name in [n for n in weights if n.startswith("features_extractor.")]:
            weights |= {f"{prefix}_{name}": weights[name] for prefix in ("pi", "vf")}
        _load_weights(model, weights)
        return int(record["env_steps"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise RunError(f"no policy of this run's in {folder}: {error}") from error


def _load_weights(model: OnPolicyAlgorithm, weights: dict[str, torch.Tensor]) -> None:
    try:
        model.policy.load_state_dict(weights)
    except RuntimeError as error:  # torch's text is long
        raise ValueError(
            "its tensors are not those of the network that the run's settings describe; perhaps "
            "another version of prefrl saved it"
        ) from error


def _moments(model: OnPolicyAlgorithm) -> dict[str, torch.Tensor]:
    """The optimiser's state by parameter number."""
    state = model.policy.optimizer.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value).contiguous()
        for number, moments in state.items()
        for name, value in moments.items()
    }
