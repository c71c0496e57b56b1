"""Trains policies on market data under the production risk agent, and publishes bundles."""
