"""The three problems of the paper, and their recipes."""

from mcgc.train._examples import classifier
from mcgc.train._series import neural_ode
from mcgc.train.settings import Settings

MNIST = classifier(
    Settings(
        "mnist",
        beta=1e-3,
        log_lam0=-13.0,
        learning_rate=1e-4,
        learning_rate_lam=1e-2,
        epochs=200,
        batch_size=250,
        loss="softmax-cross-entropy",
    ),
    sizes=(784, *(50,) * 29, 10),
    summary="handwritten digits named by a plain net of 30 layers (figure 5)",
)._replace(
    others={  # log λ of an estimator falls as fast as in the paper's recipe, and all take equally many gradients
        "best": {"loss": "cross-entropy"},
        "score-baseline": {"estimator": "score-baseline", "learning_rate_lam": 1e-3},
        "pathwise": {"estimator": "pathwise", "learning_rate_lam": 3e-4},
        "antithetic-score": {"estimator": "antithetic-score", "learning_rate_lam": 1e-3, "epochs": 100},
        "antithetic": {"estimator": "antithetic", "learning_rate_lam": 1e-3, "epochs": 100},
    },
)

_GROWN = {  # horizons that grow, on standardised series: what the best recipes of series have in common
    "estimator": "pathwise",
    "log_lam0": -14.0,
    "learning_rate_lam": 0.01,
    "beta": 0.01,
    "warmup_epochs": 0,
    "standardize": True,
    "rtol": 1e-5,
    "atol": 1e-6,
    "optimizer": "adamw",
    "weight_decay": 0.1,
    "learning_rate": 1e-3,
    "rate_schedule": "cosine",
    "learning_rate_end": 1e-4,
}

LOTKA_VOLTERRA = neural_ode(
    Settings(
        "lotka-volterra",
        beta=1e-1,
        log_lam0=-10.0,
        learning_rate=1e-3,
        learning_rate_lam=3e-1,
        epochs=400,
        warmup_epochs=20,
        batch_size=4,
    ),
    sizes=(4, *(50,) * 4, 2),
    summary="neural ODE of predators and prey, a plain net of 5 layers (figure 6)",
    states=("prey", "predators"),
    parameters=("a", "c"),
)._replace(others={"best": _GROWN | {"horizons": "1:40,2:20,4:14,8:10,16:8,all:8"}}, default="best")

LORENZ = neural_ode(
    Settings(
        "lorenz",
        beta=1e-2,
        log_lam0=-10.0,
        learning_rate=3e-3,
        learning_rate_lam=3e-1,
        epochs=200,
        warmup_epochs=10,
        batch_size=4,
    ),
    sizes=(5, *(50,) * 19, 3),
    summary="neural ODE of the chaotic Lorenz system, a plain net of 20 layers (figure 7)",
    states=("x", "y", "z"),
    parameters=("sigma", "rho"),
)._replace(
    others={  # the rate of an estimator is the best of those tried, and all take equally many gradients
        "best": _GROWN | {"epochs": 1150, "horizons": "1:50,2:25,4:12,8:8,all:5"},
        "low-rate": {"learning_rate": 1e-3},
        "score-baseline": {"estimator": "score-baseline", "learning_rate_lam": 0.1},
        "pathwise": {"estimator": "pathwise", "learning_rate_lam": 0.1},
        "antithetic-score": {
            "estimator": "antithetic-score",
            "learning_rate_lam": 0.1,
            "epochs": 100,
            "warmup_epochs": 5,
        },
        "antithetic": {"estimator": "antithetic", "learning_rate_lam": 1e-3, "epochs": 100, "warmup_epochs": 5},
    },
    default="best",
)
