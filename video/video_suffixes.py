"""Endings of videos, by which the clips of a folder are found; a file given explicitly may have any ending."""

VIDEO_SUFFIXES = frozenset(
    {".264", ".265", ".3g2", ".3gp", ".3gp2", ".3gpp", ".amv", ".apng", ".asf", ".avc", ".avi", ".divx", ".dv"}
    | {".dvr-ms", ".f4p", ".f4v", ".flv", ".gif", ".gxf", ".h264", ".h265", ".hevc", ".ismv", ".ivf", ".m1v", ".m2p"}
    | {".m2t", ".m2ts", ".m2v", ".m4p", ".m4v", ".mj2", ".mjpeg", ".mjpg", ".mk3d", ".mkv", ".mod", ".mov", ".mp2v"}
    | {".mp4", ".mp4v", ".mpe", ".mpeg", ".mpg", ".mpv", ".mts", ".mxf", ".nsv", ".nut", ".obu", ".ogm", ".ogv"}
    | {".ogx", ".qt", ".rm", ".rmvb", ".tod", ".tp", ".trp", ".ts", ".vc1", ".vob", ".webm", ".wm", ".wmv", ".wtv"}
    | {".xvid", ".y4m"}
)
"""In lower case: of files that FFmpeg decodes as video, without those of images and of sound alone."""

COMMON_SUFFIXES = (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm", ".wmv")
"""Those that messages name."""
