"""Machines and services that make images."""
