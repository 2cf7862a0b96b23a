"""Installs the package `pixelcnn_aux`; the programs of train/ and evaluate/ run from the checkout."""

from setuptools import find_packages, setup

setup(
    name="pixelcnn_aux",
    version="0.2.0",
    description="PixelCNN models with auxiliary variables (Kolesnikov & Lampert, 2017) in TensorFlow",
    license="Apache-2.0",
    # Not train and evaluate: a top-level `evaluate` would shadow a library that many users have.
    packages=find_packages(include=["pixelcnn_aux", "pixelcnn_aux.*"]),
    package_data={
        "pixelcnn_aux.testing": ["*.c"],
        "pixelcnn_aux.zoo": ["*/*.json", "*/*/*.csv", "*/*/*.h5", "*/*/*.json"],
    },
    python_requires=">=3.11,<3.14",  # from 3.14 on, pathlib finds nothing where the system refuses to look
    install_requires=[
        "absl-py",
        "constriction>=0.5,<0.6",  # part of the format of compressed files
        "h5py",
        "importlib_resources",  # tensorflow-datasets imports it without declaring it
        "keras>=3.12,<4",
        "matplotlib",
        "numpy",
        "pillow",
        "setuptools",  # tensorflow-probability imports its distutils without declaring it
        "tensorboard",  # tf.summary needs it to write scalars
        "tensorflow>=2.21",
        "tensorflow-datasets>=4.9.10",
        "tensorflow-probability[tf]>=0.25",
    ],
    extras_require={
        "jax": ["jax<0.7"],  # TensorFlow Probability 0.25 does not know newer ones
        "photos": ["scikit-image"],
        "serving": ["tensorflow-serving-api>=2.21"],
        "test": [
            *("ipykernel", "nbclient"),  # the tutorial
            *("pytest", "pytest-xdist", "ruff", "scikit-image", "tensorflow-serving-api>=2.21"),
        ],
    },
)
