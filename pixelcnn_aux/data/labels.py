"""The classes of image files: by the folders that they are in, or by a table."""

import csv
import io

from pixelcnn_aux.runs import disk

FOLDERS = "folders"
_ROWS = "Give a file of lines such as 17/cat.png,3 below the line file,label; -1 is no class."


def of_files(labels, paths):
    """A function from the path of an image file, a str, to the number of its class: from 0 on, -1 for none.

    Args:
      labels: `FOLDERS`, which are the classes in alphabetical order, files in none being of no class; or the
        path of a CSV file with the columns "file", as in `paths`, and "label".
      paths: list of `pathlib.Path`, of all image files, of every split, relative to their folder.

    Raises OSError for a table that cannot be read, and ValueError for one that is damaged, that names a file
    twice, or one that is not in `paths`; the function raises ValueError for a file that is not in it.
    """
    if labels == FOLDERS:
        classes = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
        numbers = {name: number for number, name in enumerate(classes)}
        found = {str(path): numbers.get(path.parts[0], -1) for path in paths}
    else:
        found = _read(labels)
        if unknown := sorted(found.keys() - {str(path) for path in paths}):
            raise ValueError(
                f"Expected image files of the folder in {labels}. Received: {unknown[0]}, which is not "
                f"there. {_ROWS}"
            )

    def label_of(name):
        if name not in found:
            raise ValueError(
                f"Expected a label for each image file in {labels}. Received: none for {name}. {_ROWS}"
            )
        return found[name]

    return label_of


def _read(file):
    try:
        text = disk.contents(file).decode("utf-8-sig")  # as spreadsheets write it
        rows = csv.DictReader(io.StringIO(text, newline=""))
        if not {"file", "label"} <= {*(rows.fieldnames or ())}:
            raise ValueError(f"the columns {rows.fieldnames}")
        found = {}
        for row in rows:
            if row["file"] in found:
                raise ValueError(f"{row['file']} twice")
            found[row["file"]] = int(row["label"])
        return found
    except (TypeError, ValueError, csv.Error) as error:
        raise ValueError(
            f"Expected a table of files and whole numbers in {file}. Received: another one "
            f"({type(error).__name__}: {error}). {_ROWS}"
        ) from error
