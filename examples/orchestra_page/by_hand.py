"""A task that says itself where it is."""

from orchestra.sdk import TaskRunStatus
from orchestra.sdk import OrchestraSDK

orchestra = OrchestraSDK(api_key="your_api_key")

def complex_process():
    return 0

def my_function(arg1, arg2=1):
    print("Start my complex process")
    orchestra.update_task(status=TaskRunStatus.RUNNING, message="Starting process.")

    print("Running complex process")
    orchestra.update_task(message="Running process.")

    fn_result = complex_process()

    if fn_result == 0:
        orchestra.update_task(status=TaskRunStatus.SUCCEEDED)
    else:
        orchestra.update_task(status=TaskRunStatus.FAILED, message="Process failed")
