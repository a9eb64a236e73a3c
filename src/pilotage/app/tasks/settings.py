"""What ``pilotage serve`` is told by a file, by the environment, or not at all."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from pilotage.engine.routing.orders import THETA, Order
from pilotage.engine.routing.plan import WEIGHT


class ServeSettings(BaseModel):
    """The task service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(description="address to listen on; 0.0.0.0: all, then tokens are needed")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port to listen on; 0: a free one")] = 8102
    database: Annotated[str, Field(description="sqlite:///FILE or postgresql://USER@HOST/DATABASE")] = (
        "sqlite:///pilotage-tasks.sqlite3"
    )
    strategy: Annotated[str, Field(description="a strategy's name, or FILE.py[:object]")] = "pilotage"
    order: Annotated[Order, Field(description="pilotage: which waiting task is planned first")] = "priority"
    theta: Annotated[float, Field(ge=0, le=1000, description="order aged: weight of the predicted run time")] = THETA
    predict_mode: Annotated[Literal["default", "lookup_table"], Field(description="where run times come from")] = (
        "default"
    )
    prediction_file: Annotated[str, Field(description="lookup table (JSON) for predict_mode lookup_table")] = ""
    weight: Annotated[
        float, Field(ge=0, le=1, description="pilotage: run time against waiting; 0.3 suits instances with many slots")
    ] = WEIGHT
    admit_odds: Annotated[
        float, Field(ge=0, le=1, description="a task whose odds to start by its deadline are less is refused; 0: none")
    ] = 0.0
    breaker_failures: Annotated[
        int, Field(ge=0, le=1000, description="failures in a row that keep tasks from an instance; 0: never")
    ] = 3
    breaker_pause_s: Annotated[float, Field(gt=0, le=3600, description="for how long; twice as long each time")] = 1.0
    breaker_longest_pause_s: Annotated[float, Field(gt=0, le=86_400, description="and at most so long")] = 60.0
    warm_up_s: Annotated[
        float, Field(ge=0, le=3600, description="an instance that is new or back has all its slots after so long")
    ] = 0.0
    seed: Annotated[int, Field(ge=0, le=2**63, description="of every random choice")] = 0
    client_tokens: Annotated[SecretStr, Field(description="who may submit and ask, separated by commas")] = SecretStr(
        ""
    )
    instance_tokens: Annotated[SecretStr, Field(description="who may register and deliver results")] = SecretStr("")
    admin_tokens: Annotated[SecretStr, Field(description="who may do everything")] = SecretStr("")
    send_token: Annotated[SecretStr, Field(description="token to show to instances that want one")] = SecretStr("")
    instance_networks: Annotated[
        str, Field(description="networks where instances may be, separated by commas; private: the usual private ones")
    ] = "private"
    body_kib: Annotated[int, Field(ge=1, le=1_048_576, description="largest request body")] = 1024
    rate_per_s: Annotated[float, Field(ge=0, le=1e6, description="requests a second and caller; 0: any")] = 0
    burst: Annotated[int, Field(ge=1, le=1_000_000, description="requests at once and caller, if there is a rate")] = (
        100
    )
    certificate: Annotated[str, Field(description="PEM file: speak TLS")] = ""
    key: Annotated[str, Field(description="PEM file with the certificate's key")] = ""
    waiting_limit: Annotated[int, Field(ge=1, le=10_000_000, description="tasks that may wait; more are refused")] = (
        100_000
    )
    attempts: Annotated[int, Field(ge=1, le=100, description="tries before a task fails")] = 5
    run_limit_s: Annotated[float, Field(gt=0, le=31_536_000, description="longest run before another try")] = 3600.0
    send_timeout_s: Annotated[float, Field(gt=0, le=600, description="for an instance to take a task")] = 5.0
    probe_every_s: Annotated[float, Field(gt=0, le=600, description="how often each instance is asked")] = 1.0
    lost_after_s: Annotated[
        float, Field(gt=0, le=86_400, description="an instance silent for so long has lost its tasks")
    ] = 5.0
    forget_after_s: Annotated[float, Field(gt=0, le=31_536_000, description="then it is removed")] = 3600.0
    ask_after_s: Annotated[float, Field(gt=0, le=86_400, description="ask an instance for a result after so long")] = (
        5.0
    )
    keep_days: Annotated[float, Field(gt=0, le=36_500, description="how long ended tasks are kept")] = 7.0
    keep_tasks: Annotated[int, Field(ge=0, le=1_000_000_000, description="how many ended tasks are kept")] = 1_000_000
    lease_s: Annotated[float, Field(ge=0.5, le=600, description="a leader silent for so long is replaced")] = 10.0
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="least level logged")] = "info"


ORIGINAL_VARIABLES = {
    "SCHEDULER_HOST": "host",
    "SCHEDULER_PORT": "port",
    "SCHEDULING_STRATEGY": "strategy",
    "PREDICTION_FILE": "prediction_file",
    "LOG_LEVEL": "log_level",
}
"""Environment variables of the original and what they set here; ours (PILOTAGE_SERVE_...) go before them."""

ORIGINAL_FILES = ("SCHEDULER_CONFIG_PATH", "GLOBALQUEUE_CONFIG")
"""Its variables that name the configuration file."""
