"""`consulpy validate`."""

from consulpy.cli.command import Invocation, command
from consulpy.config.flags import config_format
from consulpy.config.load import validate_files
from consulpy.errors import ConfigError
from consulpy.gocompat.flag import Flag, switch


@command(
    "validate",
    "Validate config files/directories",
    usage="validate [options] FILE_OR_DIRECTORY...",
    about="""
Performs a thorough sanity test on configuration files. For each file
or directory given, the validate command will attempt to parse the contents
just as the "consulpy agent" command would, and catch any errors.

This is useful to do a test of the configuration only, without actually
starting the agent. Returns 0 if the configuration is valid, or 1 if there are
problems.
""",
    flags=[
        Flag(
            "config-format",
            "Config files are in this format irrespective of their extension. Must be 'hcl' or 'json'",
            config_format,
            default="",
            placeholder="string",
        ),
        Flag(
            "quiet",
            "When given, a successful run will produce no output.",
            switch,
            default=False,
        ),
    ],
)
def validate(given: Invocation) -> int:
    """Print the first fault of the files, or their warnings."""
    if not given.arguments:
        given.err("Must specify at least one config file or directory")
        return 1
    try:
        config = validate_files(given.arguments, given.values["config-format"])
        if config.watches:
            from consulpy.agent.features.watches import check_watches  # imports Twisted

            check_watches(config)
    except ConfigError as error:
        given.err(f"Config validation failed: {error}")
        return 1
    for line in config.warnings:
        given.err(f"Warning: {line}")
    if not given.values["quiet"]:
        given.out("Configuration is valid!")
    return 0
