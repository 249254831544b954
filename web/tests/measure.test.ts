import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lengthOf } from '../viewer/measure.ts';
import { spacingOf } from '../viewer/spacing.ts';

const facts = { modality: 'MR', pixel: [], imager: [], magnification: undefined, calibration: '' };

test('a length across rows and columns uses the spacing of each', () => {
  const picture = { spacing: spacingOf({ ...facts, pixel: [2, 0.5] }), regions: [] };

  assert.deepEqual(lengthOf({ a: [0, 0], b: [6, 2] }, picture), { value: 5, sense: 'body' });
});

test('without a spacing a length is counted in pixels', () => {
  const picture = { spacing: spacingOf({ ...facts, modality: 'OT' }), regions: [] };

  assert.deepEqual(lengthOf({ a: [0, 0], b: [3, 4] }, picture), { value: 5, sense: 'none' });
});

test('a projection with detector spacing alone is measured at the detector', () => {
  assert.equal(spacingOf({ ...facts, modality: 'DX', imager: [0.1, 0.1] }).sense, 'detector');
  assert.equal(spacingOf({ ...facts, modality: 'CR', pixel: [0.2, 0.2], imager: [0.2, 0.2] }).sense, 'detector');
});

test('magnification is taken out of a detector spacing', () => {
  const spacing = spacingOf({ ...facts, modality: 'MG', imager: [0.09, 0.09], magnification: 1.8 });

  assert.equal(spacing.sense, 'corrected');
  assert.ok(Math.abs(spacing.row - 0.05) < 1e-9);
});

test('a calibrated projection is said to be corrected', () => {
  const spacing = spacingOf({ ...facts, modality: 'DX', pixel: [0.15, 0.15], imager: [0.2, 0.2], calibration: 'FIDUCIAL' });

  assert.deepEqual(spacing, { row: 0.15, column: 0.15, sense: 'corrected' });
});

test('an ultrasound region gives its own spacing to lines inside it', () => {
  const region = { left: 0, top: 0, right: 100, bottom: 100, row: 0.5, column: 0.5 };
  const picture = { spacing: spacingOf({ ...facts, modality: 'US' }), regions: [region] };

  assert.equal(lengthOf({ a: [0, 0], b: [0, 10] }, picture).value, 5);
  assert.equal(lengthOf({ a: [0, 0], b: [0, 200] }, picture).sense, 'none');
});
