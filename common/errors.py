"""Errors caused by user input. Each message is one line that names the value and what is allowed."""


class UserError(ValueError):
    """The user's input cannot be used; the commands print the message as one line and exit with code 2."""


class TaxonomyError(UserError):
    """A taxonomy file is invalid, or a name is not in the taxonomy."""


class ClipError(UserError):
    """A video cannot be read, or not completely."""


class TruncatedClipError(ClipError):
    """A video ends early or is damaged; raised after the frames that could be decoded have been yielded."""


class StoreError(ClipError):
    """A file or a folder in a store, such as S3, cannot be read."""


class DatasetError(UserError):
    """A labelled data set, or one row of it, is invalid."""


class DetectorError(UserError):
    """A detector file cannot be used."""


class GatesError(UserError):
    """A gate file is invalid, or was made for other actors or another detector."""


class CheckpointError(UserError):
    """A head or trunk file is invalid, or does not fit the taxonomy or the trunk."""


class TrainingError(UserError):
    """Training cannot start or continue."""


class DownloadError(UserError):
    """Third-party weights cannot be downloaded, or are not the expected file."""


class ManifestError(UserError):
    """A file shipped with the project is missing, damaged or modified, or the manifest that lists it is invalid."""
