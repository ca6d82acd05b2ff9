"""The errors that a user can cause. Each message is one line that names the value and what was allowed."""


class UserError(ValueError):
    """What the user gave cannot be used; the commands print its message as one line and exit with code 2."""


class TaxonomyError(UserError):
    """A taxonomy file, or a name that should be in it, is wrong."""


class ClipError(UserError):
    """A video cannot be read, or not to its end."""


class TruncatedClipError(ClipError):
    """A video ends early or is damaged; raised after the frames that could be decoded have been given out."""


class DatasetError(UserError):
    """A labelled data set, or one row of it, is wrong."""


class DetectorError(UserError):
    """A detector file cannot be used."""


class GatesError(UserError):
    """A threshold file is wrong, or was made for something else."""


class CheckpointError(UserError):
    """A head or trunk file is wrong, or was made for something else."""


class TrainingError(UserError):
    """Training cannot start or go on."""


class DownloadError(UserError):
    """A file of others cannot be had, or is not the one that is known."""


class ManifestError(UserError):
    """A file that the project ships is missing, damaged or changed, or the manifest that lists it is wrong."""
