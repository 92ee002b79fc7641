"""The pictures of the docs, taken in a real window that is used by mouse and keys."""
