"""Is the graded cartpole learned by every seed?

Hypothesis: 200 synthetic labels and 100,000 steps suffice for a mean true return of at least 450 of
500 over 20 evaluation episodes, for 5 of 5 seeds. Seeds 30 to 34, chosen beforehand; one seed was
tried before. The baseline on the true reward has the same settings.
"""

from seeds import counts, train_on_seeds

SEEDS = range(30, 35)


def main() -> None:
    learned = train_on_seeds("cartpole", "cartpole", SEEDS)
    reached = sum(counts(r) and r["true_return"]["mean"] >= 450 for r in learned)
    print(f"{reached} of {len(learned)} seeds reached 450")
    train_on_seeds("cartpole_true", "cartpole", SEEDS[:3], "--reward", "true")


if __name__ == "__main__":
    main()
